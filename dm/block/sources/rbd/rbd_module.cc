#include "dm/block/sources/rbd/rbd_module.h"

#include <dlfcn.h>

#include <cstdlib>
#include <string_view>

#include "acrn/base/concat.h"

namespace acrn {
namespace {

Result<const RbdModule*> load() {
  // Of a program that has more rights than its caller, the environment says nothing.
  const char* const folder = ::secure_getenv("ACRN_DM_MODULES");
  const std::string path = concat(folder != nullptr ? folder : ACRN_MODULE_FOLDER, "/acrn_block_rbd.so");
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
