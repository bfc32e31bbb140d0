// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/config_value.hpp"

#include <algorithm>
#include <array>

#include "base/nearest.hpp"

namespace pcivm::cli {

namespace {

constexpr std::size_t kMostText{255};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }

bool all_of(std::string_view text, bool (*fits)(char)) { return std::ranges::all_of(text, fits); }

std::unexpected<Error> wrong(std::string_view text, std::string_view wanted) {
  return fail(Errc::invalid, fmt::format("'{}' is not {}", text, wanted));
}

std::string_view kind_of(const ConfigNode& node) {
  switch (node.kind) {
    case ConfigNode::Kind::null: return "nothing";
    case ConfigNode::Kind::scalar: return "a word";
    case ConfigNode::Kind::list: return "a list";
    case ConfigNode::Kind::map: return "a map";
  }
  return "?";
}

/// The written text of a scalar; also of one that YAML takes for null.
Result<std::string> scalar(const ConfigNode& node, std::string_view wanted) {
  if (node.kind == ConfigNode::Kind::null) {
    return fail(Error::make(Errc::invalid, fmt::format("nothing is given, wanted {}", wanted))
                    .advise("leave the key out if it shall stay as it is"));
  }
  if (node.kind != ConfigNode::Kind::scalar) {
    return fail(Errc::invalid, fmt::format("{} is given, wanted {}", kind_of(node), wanted));
  }
  if (node.text.size() > kMostText) {
    return fail(Errc::invalid, fmt::format("{} characters are given, wanted at most {}", node.text.size(), kMostText));
  }
  if (node.text.empty()) return fail(Errc::invalid, fmt::format("an empty text, wanted {}", wanted));
  if (node.text.find_first_of("\n\t") != std::string::npos) {
    return fail(Errc::invalid, fmt::format("several lines or a tab, wanted {}", wanted));
  }
  return node.text;
}

/// Decimal as every reader understands it.
bool is_plain_number(std::string_view text) {
  return !text.empty() && all_of(text, is_digit) && (text.size() == 1 || text.front() != '0');
}

/// Words for true, false and null of YAML 1.1 (https://yaml.org/type/bool.html, null.html) or 1.2.
bool is_special_word(std::string_view text) {
  constexpr std::array<std::string_view, 11> kWords{"y",  "n",   "yes",  "no", "true", "false",
                                                    "on", "off", "null", "~",  ""};
  return std::ranges::any_of(kWords, [&](std::string_view word) {
    return std::ranges::equal(text, word, {}, [](char c) { return is_upper(c) ? static_cast<char>(c | 0x20) : c; });
  });
}

/// More than what YAML 1.1 and 1.2 take for numbers, times and dates: 0x1f, 1_000, 1.5, -3, 1e3, 12:30, .inf.
bool looks_like_number(std::string_view text) {
  const auto body = text.find_first_not_of("+-");
  if (body == std::string_view::npos) return false;
  const auto digits = text.substr(body);
  if (digits.starts_with('.') && digits.size() > 1) return std::string_view{"0123456789iInN"}.contains(digits[1]);
  if (!is_digit(digits.front())) return false;
  if (digits.starts_with("0x") || digits.starts_with("0o") || digits.starts_with("0b")) return true;
  return all_of(digits, [](char c) { return is_digit(c) || std::string_view{"_.:+-eE"}.contains(c); });
}

}  // namespace

Result<bool> bool_value(const ConfigNode& node) {
  constexpr std::string_view kWanted{"true or false"};
  const auto text = TRY(scalar(node, kWanted));
  if (node.quoted) return fail(Errc::invalid, fmt::format("\"{}\" is text, wanted {} without quotes", text, kWanted));
  if (text == "true") return true;
  if (text == "false") return false;
  if (!is_special_word(text)) return wrong(text, kWanted);
  constexpr std::array<std::string_view, 4> kYes{"y", "t", "on", "On"};
  const bool yes = std::ranges::any_of(kYes, [&](auto word) { return text.starts_with(word); }) ||
                   text.starts_with('Y') || text == "ON" || text.starts_with('T');
  return fail(Error::make(Errc::invalid,
                          fmt::format("'{}' is not true for every reader of YAML, nor false; wanted {}", text, kWanted))
                  .advise(fmt::format("write {}", yes ? "true" : "false")));
}

Result<std::uint64_t> detail::number_value(const ConfigNode& node, std::uint64_t least, std::uint64_t most) {
  const auto wanted = fmt::format("a decimal number from {} to {}", least, most);
  const auto text = TRY(scalar(node, wanted));
  if (node.quoted) return fail(Errc::invalid, fmt::format("\"{}\" is text, wanted {} without quotes", text, wanted));
  if (text.size() > 1 && text.front() == '0' && all_of(text, is_digit)) {
    const auto first = std::min(text.find_first_not_of('0'), text.size() - 1);
    return fail(
        Error::make(Errc::invalid, fmt::format("'{}' is octal to some readers of YAML, wanted {}", text, wanted))
            .advise(fmt::format("write {}", text.substr(first))));
  }
  const auto value = parse_decimal<std::uint64_t>(text);
  if (!value || *value < least || *value > most) return wrong(text, wanted);
  return *value;
}

Result<std::string> text_value(const ConfigNode& node) {
  auto text = TRY(scalar(node, "text"));
  if (node.quoted || is_plain_number(text)) return text;
  if (is_special_word(text) || looks_like_number(text)) {
    return fail(Error::make(Errc::invalid, fmt::format("'{}' is not text for every reader of YAML", text))
                    .advise(fmt::format("write \"{}\"", text)));
  }
  return text;
}

Result<std::string> word_value(const ConfigNode& node, std::string_view wanted) { return scalar(node, wanted); }

Result<MacAddress> mac_value(const ConfigNode& node) {
  return MacAddress::parse(TRY(scalar(node, "a MAC address such as 02:11:22:33:44:55")));
}

Result<sriov::Guid> guid_value(const ConfigNode& node) {
  return sriov::Guid::parse(TRY(scalar(node, "a GUID such as 0c:42:a1:03:00:01:02:03")));
}

Result<Bdf> bdf_value(const ConfigNode& node) {
  return Bdf::parse(TRY(scalar(node, "a PCI address such as 0000:01:00.0")));
}

Result<sriov::PciId> pci_id_value(const ConfigNode& node) {
  constexpr std::string_view kWanted{"vendor and device such as 8086:10c9"};
  const auto text = TRY(scalar(node, kWanted));
  constexpr std::size_t kDigits{4};
  if (text.size() != 2 * kDigits + 1 || text[kDigits] != ':') return wrong(text, kWanted);
  const auto vendor = parse_hex<std::uint16_t>(std::string_view{text}.substr(0, kDigits));
  const auto device = parse_hex<std::uint16_t>(std::string_view{text}.substr(kDigits + 1));
  if (!vendor || !device) return wrong(text, kWanted);
  return sriov::PciId{*vendor, *device};
}

Result<std::string> driver_value(const ConfigNode& node) {
  constexpr std::string_view kWanted{"a driver's name"};
  constexpr std::size_t kMost{63};
  auto text = TRY(text_value(node));
  const bool fits = !text.empty() && text.size() <= kMost && all_of(text, [](char c) {
    return is_lower(c) || is_upper(c) || is_digit(c) || c == '-' || c == '_';
  });
  if (!fits) return wrong(text, kWanted);
  return text;
}

Result<std::string> bind_value(const ConfigNode& node) {
  TRY(scalar(node, "host, none, or a driver's name"));
  return driver_value(node);
}

Result<std::string> interface_value(const ConfigNode& node) {
  constexpr std::size_t kMost{15};  // IFNAMSIZ - 1
  auto text = TRY(text_value(node));
  const bool fits = !text.empty() && text.size() <= kMost && text != "." && text != ".." && all_of(text, [](char c) {
    return c > ' ' && c < '\x7f' && std::string_view{"/:%"}.find(c) == std::string_view::npos;
  });
  if (!fits) return wrong(text, "a name for an interface, of at most 15 characters without blanks, '/', ':' and '%'");
  return text;
}

bool is_name(std::string_view text) {
  constexpr std::size_t kMost{63};
  return !text.empty() && text.size() <= kMost && text.front() != '-' &&
         all_of(text, [](char c) { return is_lower(c) || is_digit(c) || c == '-'; });
}

Result<std::string> name_value(const ConfigNode& node) {
  auto text = TRY(text_value(node));
  if (!is_name(text)) return wrong(text, "a name of at most 63 characters a-z, 0-9 and '-'");
  return text;
}

Result<IndexRange> range_value(const ConfigNode& node) {
  constexpr std::string_view kWanted{"the index of a VF or a range of them, such as 0-3"};
  constexpr unsigned kMost{65'534};
  const auto text = TRY(scalar(node, kWanted));
  const auto dash = text.find('-');
  const auto number = [](std::string_view part) -> Result<unsigned> {
    if (part.size() > 1 && part.front() == '0') return fail(Errc::invalid, "leading zero");
    return parse_decimal<unsigned>(part, kMost);
  };
  const auto first = number(std::string_view{text}.substr(0, dash));
  const auto last = dash == std::string::npos ? first : number(std::string_view{text}.substr(dash + 1));
  if (!first || !last) return wrong(text, kWanted);
  if (*first > *last) {
    return fail(Error::make(Errc::invalid, fmt::format("'{}' runs backwards", text))
                    .advise(fmt::format("write {}-{}", *last, *first)));
  }
  return IndexRange{*first, *last};
}

Error none_of(std::string_view text, const std::vector<std::string>& words) {
  auto error = Error::make(Errc::invalid, fmt::format("'{}' is none of {}", text, fmt::join(words, ", ")));
  const auto meant = nearest(text, words);
  return meant.empty() ? error : std::move(error).advise(fmt::format("did you mean {}", meant));
}

}  // namespace pcivm::cli
