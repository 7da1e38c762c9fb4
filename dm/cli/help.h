// The text of --help: a screen with the topics, a screen for each of them, or everything. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace acrn {

// A group of options: its name, what it is about in a few words, and options of it as they are given.
struct HelpTopic {
  std::string_view name, about, example;
  // "-m" and its like, or keys of a virtio-blk slot. Each option is in one topic; none: everything.
  std::vector<std::string_view> options;
  std::string_view note = {};  // a sentence, if one is needed
};
const std::vector<HelpTopic>& help_topics();

// With `topic`, which may be an option of it, its options; without, the topics. Lines of at most 80 columns, at most 24
// of them but for the topic "all". nullopt: there is no such topic.
std::optional<std::string> help_text(std::string_view topic = {});

}  // namespace acrn
