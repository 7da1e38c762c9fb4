// ceph_cluster [image...]: a cluster with images of 64 MiB, for scripts. Prints its configuration file's path when it
// is up, kills and starts the OSD for each line that it reads, says so, and ends with its input.
#include <iostream>
#include <string>

#include "tests/support/ceph_cluster.h"

int main(int count, char** words) {
  using namespace acrn::test;
  try {
    CephCluster cluster;
    for (int i = 1; i < count; i++) cluster.rbd("create --size 64M rbd/" + std::string(words[i]));
    std::cout << cluster.conf() << std::endl;
    for (std::string line; std::getline(std::cin, line);) {
      cluster.kill_osd();
      cluster.start_osd();
      std::cout << "started" << std::endl;
    }
    return 0;
  } catch (const Skipped& skipped) {
    std::cerr << skipped.reason << '\n';
    return 77;
  } catch (const Failure& failure) {
    std::cerr << failure.where << ": " << failure.what << '\n';
    return 1;
  }
}
