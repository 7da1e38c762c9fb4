// COVERS(input): every option, wrong in every way
#include "dm/cli/option_table.h"
#include "tests/support/test.h"

namespace acrn {
namespace {

struct Target {
  bool ro = false;
  std::string discard = "unset";
  uint64_t size = 0;
};

constexpr OptionRow<Target> kRows[] = {
    {"ro", ValueRule::kNone, [](Target& target, std::string_view) { return target.ro = true; }},
    {"discard", ValueRule::kOptional,
     [](Target& target, std::string_view value) {
       target.discard = std::string(value);
       return true;
     },
     "limits", "limits, like discard=8"},
    {"size", ValueRule::kRequired,
     [](Target& target, std::string_view value) {
       const auto number = parse_number(value, 1, 9);
       if (number) target.size = *number;
       return number.has_value();
     },
     "a size", "1 to 9, like size=3"},
};

std::string joined(const std::vector<std::string>& fields) {
  std::string text;
  for (const auto& field : fields) text += "[" + field + "]";
  return text;
}

std::string message_of(std::string_view field) {
  Target target;
  const auto applied = apply_option<Target>(kRows, field, target);
  return applied ? "ok" : applied.error().message;
}

}  // namespace

TEST(fields_end_at_a_comma_and_two_commas_are_one_of_the_text) {
  const struct {
    const char *text, *fields;
  } rows[] = {
      {"", "[]"},           {"a", "[a]"},
      {"a,b", "[a][b]"},    {"a,,b", "[a,b]"},
      {"a,,,b", "[a,][b]"}, {"a,,,,b", "[a,,b]"},
      {",", "[][]"},        {",,", "[,]"},
      {"a,", "[a][]"},      {"9,virtio-blk,/a b/ü,,x.img,ro", "[9][virtio-blk][/a b/ü,x.img][ro]"},
  };
  for (const auto& row : rows) EXPECT_EQ(joined(split_fields(row.text)), row.fields);
}

TEST(parts_are_split_at_every_separator) {
  EXPECT_EQ(split_at("", ':').size(), 1u);
  EXPECT_EQ(split_at("::", ':').size(), 3u);
  EXPECT_EQ(split_at("0:9:1", ':')[1], "9");
}

TEST(a_number_is_decimal_whole_and_in_range) {
  for (const char* text : {"", " 5", "5 ", "+5", "-5", "5x", "0x5", "5.0", "18446744073709551616", "11", "0"}) {
    EXPECT_EQ(parse_number(text, 1, 10).value_or(999), 999u);
  }
  EXPECT_EQ(parse_number("1", 1, 10).value_or(999), 1u);
  EXPECT_EQ(parse_number("010", 1, 10).value_or(999), 10u);
  EXPECT_EQ(parse_number("18446744073709551615", 0, UINT64_MAX).value_or(0), UINT64_MAX);
}

TEST(a_size_takes_one_unit_letter_of_either_case) {
  const struct {
    const char* text;
    uint64_t bytes;
  } rows[] = {
      {"7", 7 * 512},  {"7k", 7 << 10},    {"7K", 7 << 10},    {"7m", 7 << 20},
      {"7M", 7 << 20}, {"7g", 7ull << 30}, {"7G", 7ull << 30}, {"17179869183G", 17179869183ull << 30},
      {"0", 0},
  };
  for (const auto& row : rows) EXPECT_EQ(parse_size(row.text, 512).value_or(1), row.bytes);
  for (const char* text : {"", "M", "12Q", "12MB", "1.5G", "-1M", " 1M", "17179869184G", "18446744073709551615K"}) {
    EXPECT(!parse_size(text, 512));
  }
}

TEST(a_list_of_cpus_has_numbers_and_ranges_each_cpu_once) {
  const auto cpus = parse_cpus("3,0-2,7", ',');
  EXPECT(cpus.has_value() && *cpus == (std::vector<unsigned>{3, 0, 1, 2, 7}));
  EXPECT_EQ(parse_cpus("0-1023", ':')->size(), size_t{kMaxHostCpus});
  for (const char* text : {"", ",", "0,", "2-1", "0-", "-1", "a", "1024", "0,0", "0-2,1", "0-1-2"}) {
    EXPECT(!parse_cpus(text, ','));
  }
}

TEST(the_nearest_word_is_close_or_none) {
  const std::string_view known[] = {"writethru", "writeback", "ro", "discard"};
  EXPECT_EQ(nearest_word("writethrough", known), "writethru");
  EXPECT_EQ(nearest_word("writebck", known), "writeback");
  EXPECT_EQ(nearest_word("discardfoo", known), "discard");
  EXPECT_EQ(nearest_word("r0", known), "ro");
  EXPECT_EQ(nearest_word("", known), "");
  EXPECT_EQ(nearest_word("something", known), "");
  EXPECT_EQ(nearest_word(std::string(1 << 20, 'w'), known), "");
}

TEST(keys_match_as_whole_words_only) {
  EXPECT_EQ(message_of("ro"), "ok");
  EXPECT_EQ(message_of("r"), "'r' is not an option; did you mean ro?");
  EXPECT_EQ(message_of("discardfoo"), "'discardfoo' is not an option; did you mean discard?");
  EXPECT_EQ(message_of("elephants"), "'elephants' is not an option; known: ro, discard, size");
}

TEST(a_value_is_given_where_the_table_wants_one) {
  EXPECT_EQ(message_of("discard"), "ok");
  EXPECT_EQ(message_of("discard=8"), "ok");
  EXPECT_EQ(message_of("discard="), "discard: the value is missing; give limits, like discard=8");
  EXPECT_EQ(message_of("size"), "size: the value is missing; give 1 to 9, like size=3");
  EXPECT_EQ(message_of("size=10"), "size=10: not a size; give 1 to 9, like size=3");
  EXPECT_EQ(message_of("ro=1"), "ro=1: 'ro' takes no value; write just ro");
}

TEST(a_later_option_overrides_an_earlier_one) {
  Target target;
  for (const char* field : {"size=3", "size=4", "discard=a=b"}) EXPECT(apply_option<Target>(kRows, field, target).ok());
  EXPECT_EQ(target.size, 4u);
  EXPECT_EQ(target.discard, "a=b");
}

TEST(megabytes_of_commas_are_split_without_trouble) {
  EXPECT_EQ(split_fields(std::string(1 << 20, ',')).size(), 1u);
  EXPECT_EQ(split_at(std::string(1 << 20, ','), ',').size(), size_t{(1 << 20) + 1});
  std::string cpus;
  for (int i = 0; i < 100000; i++) cpus += "0-1023,";
  EXPECT(!parse_cpus(cpus, ','));
}

}  // namespace acrn
