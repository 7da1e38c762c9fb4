// What every BlockBackend keeps to. A fixture is a default-constructible struct with a member `backend` (a
// disk of kContractSize bytes that reads as zeroes); ACRN_BLOCK_CONTRACT(Fixture) runs the suite over it.
#pragma once

#include <cstdint>

#include "acrn/block/blockif.h"
#include "tests/support/test.h"

namespace acrn::test::contract {

inline constexpr uint64_t kContractSize = 8 << 20;

void a_new_disk_reads_as_zeroes(BlockBackend& backend);
void what_is_written_is_read_back_through_any_vectors(BlockBackend& backend);
void random_requests_agree_with_a_model(BlockBackend& backend);
void more_requests_than_elements_all_complete(BlockBackend& backend);
void requests_submitted_from_request_done_complete_on_a_shallow_stack(BlockBackend& backend);
void a_request_past_the_end_fails_alone_and_touches_nothing(BlockBackend& backend);
void zeroes_are_written_with_and_without_unmap(BlockBackend& backend);
void two_channels_serve_at_the_same_time(BlockBackend& backend);
void a_channel_can_close_right_after_its_last_request(BlockBackend& backend);
void the_size_is_read_again(BlockBackend& backend);

template <class Fixture, void (*check)(BlockBackend&)>
void run_contract() {
  Fixture fixture;
  check(*fixture.backend);
}

}  // namespace acrn::test::contract

#define ACRN_CONTRACT_TEST(Fixture, check)                              \
  static const ::acrn::test::Registration register_##Fixture##_##check( \
      #Fixture "__" #check, &::acrn::test::contract::run_contract<Fixture, &::acrn::test::contract::check>)

#define ACRN_BLOCK_CONTRACT(Fixture)                                                             \
  ACRN_CONTRACT_TEST(Fixture, a_new_disk_reads_as_zeroes);                                       \
  ACRN_CONTRACT_TEST(Fixture, what_is_written_is_read_back_through_any_vectors);                 \
  ACRN_CONTRACT_TEST(Fixture, random_requests_agree_with_a_model);                               \
  ACRN_CONTRACT_TEST(Fixture, more_requests_than_elements_all_complete);                         \
  ACRN_CONTRACT_TEST(Fixture, requests_submitted_from_request_done_complete_on_a_shallow_stack); \
  ACRN_CONTRACT_TEST(Fixture, a_request_past_the_end_fails_alone_and_touches_nothing);           \
  ACRN_CONTRACT_TEST(Fixture, zeroes_are_written_with_and_without_unmap);                        \
  ACRN_CONTRACT_TEST(Fixture, two_channels_serve_at_the_same_time);                              \
  ACRN_CONTRACT_TEST(Fixture, a_channel_can_close_right_after_its_last_request);                 \
  ACRN_CONTRACT_TEST(Fixture, the_size_is_read_again)
