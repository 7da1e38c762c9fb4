// What every disk keeps to that a server has, when that server goes, hangs and comes back. `backend` was opened on it.
#pragma once

#include <cstdint>
#include <vector>

#include "acrn/block/blockif.h"
#include "tests/contract/block_rig.h"
#include "tests/support/disk_server.h"

namespace acrn::test {

TestRequest stable_write(uint64_t offset, std::vector<uint8_t> bytes);
std::vector<TestRequest> reads(unsigned count);

namespace contract {

void requests_wait_for_a_server_that_is_killed_and_comes_back(DiskServer& server, BlockBackend& backend);
void a_flush_does_not_say_stable_of_writes_that_a_lost_server_had(DiskServer& server, BlockBackend& backend);
// It was opened with a time that is up soon.
void requests_fail_when_the_server_does_not_come_back_in_time(DiskServer& server, BlockBackend& backend);
void a_server_that_pauses_delays_and_loses_nothing(DiskServer& server, BlockBackend& backend);

}  // namespace contract
}  // namespace acrn::test
