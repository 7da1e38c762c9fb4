#include "dm/block/sources/nbd/nbd_files.h"

#include <cstdlib>

#include "tests/support/test.h"

namespace acrn {
namespace {

using Files = std::vector<std::string>;

}  // namespace

TEST(keys_and_certificates_are_those_that_the_uri_names) {
  EXPECT(nbd_files("nbds://host/?tls-certificates=/a/pki") == Files{"/a/pki"});
  EXPECT(nbd_files("nbds+unix://user@/x?socket=/s&tls-psk-file=keys.psk") == Files{"keys.psk"});
  EXPECT((nbd_files("nbds://host/?tls-psk-file=/k;tls-certificates=/c#end?tls-psk-file=/no") == Files{"/k", "/c"}));
}

TEST(escaped_bytes_of_a_name_are_the_bytes) {
  EXPECT(nbd_files("nbds://host/?tls-psk-file=/a%20b%2fc") == Files{"/a b/c"});
  EXPECT(nbd_files("nbds://host/?tls-psk-file=100%") == Files{"100%"});
  EXPECT(nbd_files("nbds://host/?tls-psk-file=%4") == Files{"%4"});
  EXPECT(nbd_files("nbds://host/?tls-psk-file=%zz+") == Files{"%zz+"});
}

TEST(where_the_uri_names_none_they_are_in_the_users_folders) {
  ::setenv("HOME", "/home/somebody", 1);
  const Files folders{"/home/somebody/.pki/libnbd", "/home/somebody/.config/pki/libnbd"};
  EXPECT(nbd_files("nbds://host") == folders);
  EXPECT(nbd_files("nbds+unix:///?socket=/s") == folders);
  ::unsetenv("HOME");
  EXPECT(nbd_files("nbds://host").empty());
}

TEST(without_tls_nothing_is_read) {
  EXPECT(nbd_files("nbd://host/?tls-certificates=/a").empty());
  EXPECT(nbd_files("nbd+unix:///?socket=/s&tls-psk-file=/k").empty());
}

}  // namespace acrn
