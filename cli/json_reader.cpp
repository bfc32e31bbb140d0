// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/json_reader.hpp"

#include <set>
#include <vector>

#include <fmt/format.h>

namespace pcivm::cli {

Result<Json> parse_json(std::string_view text, unsigned most_depth) {
  using Event = Json::parse_event_t;
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  unsigned depth = 0;
  std::string wrong;
  const auto note = [&wrong](std::string what) {
    if (wrong.empty()) wrong = std::move(what);
  };
  const auto look = [&](int /*depth*/, Event event, Json& value) {
    if (event == Event::object_start || event == Event::array_start) {
      if (++depth > most_depth) note(fmt::format("it is nested deeper than {}", most_depth));
      if (event == Event::object_start) keys.emplace_back();
    } else if (event == Event::object_end || event == Event::array_end) {
      --depth;
      if (event == Event::object_end) keys.pop_back();
    } else if (event == Event::key && !keys.back().insert(value.get<std::string>()).second) {
      note(fmt::format("key '{}' stands there twice", value.get<std::string>().substr(0, 64)));
    }
    return true;
  };
  auto document = Json::parse(text, look, false);
  if (document.is_discarded()) note("it cannot be read");
  if (!wrong.empty()) return fail(Errc::invalid, fmt::format("no JSON that is taken here: {}", wrong));
  return document;
}

}  // namespace pcivm::cli
