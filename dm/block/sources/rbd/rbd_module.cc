#include "dm/block/sources/rbd/rbd_module.h"

#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>

#include "acrn/base/concat.h"

namespace acrn {
namespace {

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

// The modules that were installed with us, who are a program in <prefix>/bin or libacrn_blk.so. By default where the
// build says.
std::string folder_beside_us() {
  static const char here = 0;
  Dl_info object;
  link_map* map = nullptr;
  // SAFETY: with RTLD_DL_LINKMAP it stores a link_map*.
  if (::dladdr1(&here, &object, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) == 0) return ACRN_MODULE_FOLDER;
  const bool program = map->l_name[0] == '\0';
  char ours[PATH_MAX];
  if (::realpath(program ? "/proc/self/exe" : map->l_name, ours) == nullptr) return ACRN_MODULE_FOLDER;
  return program ? concat(parent_of(parent_of(ours)), "/" ACRN_MODULE_SUBFOLDER) : concat(parent_of(ours), "/acrn-dm");
}

// Of a program that has more rights than its caller, neither the environment nor its own place says anything: a caller
// can set the one and link the program to another place.
std::string module_path() {
  constexpr std::string_view kName = "/acrn_block_rbd.so";
  std::string installed = concat(ACRN_MODULE_FOLDER, kName);
  if (::getauxval(AT_SECURE) != 0) return installed;
  if (const char* const folder = ::secure_getenv("ACRN_DM_MODULES")) return concat(folder, kName);
  std::string beside = concat(folder_beside_us(), kName);
  return ::access(beside.c_str(), F_OK) == 0 ? beside : installed;
}

Result<const RbdModule*> load() {
  const std::string path = module_path();
  const auto refuse = [](const std::string& why) { return Error{ErrorKind::kUnavailable, why}; };
  void* const module = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (module == nullptr) {
    const char* const why = ::dlerror();  // NOLINT(concurrency-mt-unsafe): of this thread, in glibc
    return refuse(concat("the module for Ceph is needed; install acrn-dm-rbd (", why != nullptr ? why : path, ")"));
  }
  const auto* const table = static_cast<const RbdModule*>(::dlsym(module, kRbdModuleSymbol));
  if (table != nullptr && std::string_view(table->version) == ACRN_DM_VERSION) return table;
  return refuse(concat(path, ": not of this version, " ACRN_DM_VERSION "; install the acrn-dm-rbd that belongs to it"));
}

}  // namespace

Result<const RbdModule*> load_rbd_module() {
  static const Result<const RbdModule*> module = load();
  return module;
}

}  // namespace acrn
