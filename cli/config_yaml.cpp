// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/config_yaml.hpp"

#include <algorithm>
#include <exception>
#include <istream>
#include <stdexcept>
#include <streambuf>
#include <utility>

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

namespace pcivm::cli {

namespace {

// yaml-cpp holds every token back until it knows whether the thing before it is a key, 80 bytes and more a token: so
// much text may pass without it making anything known. It is what stands between a bracket at the start of a line and
// its end.
constexpr std::size_t kMostUndecided{192U << 10U};

/// Ends the reading; the problem is noted already.
struct Stop {};

struct Spot {
  unsigned line{};
  unsigned column{};
};

class Notes final {
 public:
  Notes(const std::string& file, ConfigProblems& problems) : file_{file}, problems_{problems} {}
  void add(Spot spot, std::string text, std::string hint = {}) {
    problems_.push_back({.place = {file_, spot.line, spot.column}, .text = std::move(text), .hint = std::move(hint)});
    if (++count_ >= kConfigMostProblems) throw Stop{};
  }
  [[noreturn]] void stop(Spot spot, std::string text, std::string hint = {}) {
    add(spot, std::move(text), std::move(hint));
    throw Stop{};
  }
  [[nodiscard]] bool none() const { return count_ == 0; }
  [[nodiscard]] std::string place_of(Spot spot) const { return to_string(sriov::Place{file_, spot.line, spot.column}); }

 private:
  const std::string& file_;
  ConfigProblems& problems_;
  std::size_t count_{};
};

// ---- before yaml-cpp: what it would take for something else ----

/// Length of the character that starts here, 0 when it is no UTF-8 (RFC 3629: no surrogates, nothing longer than
/// needed).
std::size_t utf8_length(std::string_view rest) {
  const auto byte = [rest](std::size_t index) {
    return index < rest.size() ? static_cast<unsigned char>(rest[index]) : 0U;
  };
  const auto tail = [byte](std::size_t index) { return (byte(index) & 0xc0U) == 0x80U; };
  const auto lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead < 0xe0) return tail(1) ? 2 : 0;
  if (lead >= 0xe0 && lead < 0xf0) {
    const bool fits = !(lead == 0xe0 && byte(1) < 0xa0) && !(lead == 0xed && byte(1) >= 0xa0);
    return fits && tail(1) && tail(2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead < 0xf5) {
    const bool fits = !(lead == 0xf0 && byte(1) < 0x90) && !(lead == 0xf4 && byte(1) >= 0x90);
    return fits && tail(1) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

/// U+0085, U+2028 and U+2029 end a line for some readers of YAML and not for others; the rest of U+0080 to U+009F are
/// control characters.
bool is_unwelcome(std::string_view character) {
  const bool control = character[0] == '\xc2' && static_cast<unsigned char>(character[1]) < 0xa0;
  return control || character == "\xe2\x80\xa8" || character == "\xe2\x80\xa9";
}

void check_character(std::string_view rest, std::size_t length, Spot spot, Notes& notes) {
  const auto byte = static_cast<unsigned char>(rest[0]);
  if (length == 0) {
    notes.stop(spot, fmt::format("byte {:#04x} is no UTF-8 here", byte), "save the file as UTF-8");
  }
  const bool lone_return = byte == '\r' && !rest.starts_with("\r\n");
  const bool control = length == 1 && (byte < 0x20 || byte == 0x7f) && byte != '\n' && byte != '\t' && byte != '\r';
  if (control || lone_return) notes.stop(spot, fmt::format("control character {:#04x}", byte));
  if (length > 1 && is_unwelcome(rest.substr(0, length))) {
    notes.stop(spot, "a character that some editors take for the end of a line, or a control character");
  }
}

/// `line` up to its first word: blanks and dashes, which make lists.
void check_indentation(std::string_view line, unsigned number, Notes& notes) {
  const auto word = std::min(line.find_first_not_of(" \t-\r"), line.size());
  const auto tab = line.find('\t');
  if (tab >= word || word == line.size() || line[word] == '#') return;
  notes.add({number, static_cast<unsigned>(tab + 1)}, "a tab as indentation, wanted blanks");
}

void check_lines(std::string_view text, Notes& notes) {
  unsigned number = 1;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    check_indentation(text.substr(0, end), number, notes);
    if (text.starts_with('%')) {
      notes.stop({number, 1}, "a YAML directive, wanted none", "leave out lines that begin with %");
    }
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
  }
}

void check_text(std::string_view text, Notes& notes) {
  if (text.size() > kConfigMostBytes) {
    notes.stop({}, fmt::format("{} bytes, wanted at most {}", text.size(), kConfigMostBytes));
  }
  Spot spot{1, 1};
  for (std::size_t at = 0; at < text.size();) {
    const auto length = utf8_length(text.substr(at));
    check_character(text.substr(at), length, spot, notes);
    spot = text[at] == '\n' ? Spot{spot.line + 1, 1} : Spot{spot.line, spot.column + static_cast<unsigned>(length)};
    at += length;
  }
  check_lines(text, notes);
}

// ---- the text, piece by piece ----

class Pieces final : public std::streambuf {
 public:
  explicit Pieces(std::string_view text) : text_{text} { serve(0); }
  /// Something became known.
  void decided() { decided_ = served_; }

 protected:
  int_type underflow() override {
    if (gptr() < egptr()) return traits_type::to_int_type(*gptr());
    if (served_ == text_.size()) return traits_type::eof();
    if (served_ - decided_ > kMostUndecided) throw std::length_error{"undecided"};
    serve(static_cast<std::size_t>(gptr() - eback()));
    return traits_type::to_int_type(*gptr());
  }

 private:
  void serve(std::size_t read) {
    constexpr std::size_t kPiece{2048};
    served_ = std::min(read + kPiece, text_.size());
    // The interface is of times without const; nothing here writes, and a putback only goes back.
    auto* begin = const_cast<char*>(text_.data());
    setg(begin, begin + read, begin + served_);
  }

  std::string_view text_;
  std::size_t served_{};
  std::size_t decided_{};
};

// ---- the tree ----

class Builder final : public YAML::EventHandler {
 public:
  Builder(std::string_view text, Pieces& pieces, Notes& notes) : text_{text}, pieces_{pieces}, notes_{notes} {}

  [[nodiscard]] ConfigNode take() { return std::move(root_); }
  [[nodiscard]] bool any() const { return any_; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (any_) notes_.stop(spot(mark), "a second document, wanted one", "put it into a file of its own");
    any_ = true;
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override { add(mark, ConfigNode::Kind::null); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    refuse_alias(mark);
    add(mark, ConfigNode::Kind::null);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t /*anchor*/,
                const std::string& value) override {
    check_tag(mark, tag);
    check_closed(mark);
    auto& node = add(mark, ConfigNode::Kind::scalar);
    node.text = value;
    node.quoted = tag == "!";
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t /*anchor*/,
                       YAML::EmitterStyle::value /*style*/) override {
    check_tag(mark, tag);
    open(mark, ConfigNode::Kind::list);
  }
  void OnSequenceEnd() override { open_.pop_back(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t /*anchor*/,
                  YAML::EmitterStyle::value /*style*/) override {
    check_tag(mark, tag);
    open(mark, ConfigNode::Kind::map);
  }
  void OnMapEnd() override {
    check_keys(*open_.back().node);
    open_.pop_back();
  }
  void OnAnchor(const YAML::Mark& mark, const std::string& name) override {
    notes_.add(spot(mark), fmt::format("an anchor '&{}', wanted none", excerpt(name)), "write it out at each place");
  }

  void refuse_alias(const YAML::Mark& mark) {
    notes_.add(spot(mark), "an alias '*', wanted none", "write it out, or in quotes if it is a word");
  }
  [[nodiscard]] bool stands_at(const YAML::Mark& mark, char wanted) const {
    const auto at = static_cast<std::size_t>(mark.pos);
    return mark.pos >= 0 && at < text_.size() && text_[at] == wanted;
  }
  static Spot spot(const YAML::Mark& mark) {
    if (mark.is_null()) return {};
    return {static_cast<unsigned>(mark.line + 1), static_cast<unsigned>(mark.column + 1)};
  }

 private:
  struct Open {
    ConfigNode* node;
    bool awaits_value{};  ///< of a map: its last entry has a key only
  };

  void check_tag(const YAML::Mark& mark, const std::string& tag) {
    // yaml-cpp itself says "!" of quoted scalars and "?" of all else.
    if (tag == "?" || (tag == "!" && !stands_at(mark, '!'))) return;
    notes_.add(spot(mark), fmt::format("a tag '{}', wanted none", excerpt(tag)), "in quotes if it is a word");
  }

  /// yaml-cpp takes the end of the file for the closing quote when a line ends there.
  void check_closed(const YAML::Mark& mark) {
    const bool single = stands_at(mark, '\'');
    if (!single && !stands_at(mark, '"')) return;
    const char quote = single ? '\'' : '"';
    for (auto at = static_cast<std::size_t>(mark.pos) + 1; at < text_.size(); ++at) {
      const bool escape = single ? text_.substr(at).starts_with("''") : text_[at] == '\\';
      if (escape) {
        ++at;
      } else if (text_[at] == quote) {
        return;
      }
    }
    notes_.stop(spot(mark), fmt::format("this is no YAML: nothing closes the quote {}", quote));
  }

  /// The node that comes next, in its place; a key becomes an entry.
  ConfigNode& add(const YAML::Mark& mark, ConfigNode::Kind kind) {
    pieces_.decided();
    if (++count_ > kConfigMostValues) notes_.stop(spot(mark), fmt::format("more than {} values", kConfigMostValues));
    auto& node = place(mark, kind);
    node.kind = kind;
    node.line = spot(mark).line;
    node.column = spot(mark).column;
    return node;
  }
  ConfigNode& place(const YAML::Mark& mark, ConfigNode::Kind kind) {
    if (open_.empty()) return root_;
    auto& parent = open_.back();
    if (parent.node->kind == ConfigNode::Kind::list) return parent.node->items.emplace_back();
    parent.awaits_value = !parent.awaits_value;
    if (!parent.awaits_value) return take_key(*parent.node);
    if (kind != ConfigNode::Kind::scalar) notes_.stop(spot(mark), "a key that is no word");
    parent.node->entries.emplace_back();
    return parent.node->entries.back().value;  // for now; the value takes its place
  }
  static ConfigNode& take_key(ConfigNode& map) {
    auto& entry = map.entries.back();
    entry.key = std::move(entry.value.text);
    entry.line = entry.value.line;
    entry.column = entry.value.column;
    entry.value = {};
    return entry.value;
  }
  void open(const YAML::Mark& mark, ConfigNode::Kind kind) {
    if (open_.size() == kConfigMostDepth) {
      notes_.stop(spot(mark), fmt::format("nested more than {} deep", kConfigMostDepth));
    }
    open_.push_back({&add(mark, kind)});
  }

  void check_keys(const ConfigNode& map) {
    std::vector<const ConfigEntry*> sorted;
    for (const auto& entry : map.entries) sorted.push_back(&entry);
    std::ranges::stable_sort(sorted, {}, &ConfigEntry::key);
    for (std::size_t i = 0; i < sorted.size(); ++i) {
      const auto& entry = *sorted[i];
      const Spot here{entry.line, entry.column};
      if (entry.key == "<<") notes_.add(here, "a merge key '<<', wanted none", "write it out at each place");
      if (i == 0 || sorted[i - 1]->key != entry.key) continue;
      notes_.add(here, fmt::format("key '{}' is given twice, first at {}", excerpt(entry.key),
                                   notes_.place_of({sorted[i - 1]->line, sorted[i - 1]->column})));
    }
  }

  std::string_view text_;
  Pieces& pieces_;
  Notes& notes_;
  ConfigNode root_;
  std::vector<Open> open_;  // a parent does not grow while its child is open, so the pointers hold
  std::size_t count_{};
  bool any_{};
};

std::string hint_for(char first) {
  if (std::string_view{"%@`>|&*!{[\"'#,?:-"}.find(first) == std::string_view::npos) return {};
  return fmt::format("a word that begins with {} must be in quotes", first);
}

void build(Builder& builder, std::string_view text, Pieces& pieces, Notes& notes) {
  try {
    std::istream stream{&pieces};
    stream.exceptions(std::ios::badbit);  // else a stream swallows what its buffer throws
    YAML::Parser parser{stream};
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& problem) {
    if (builder.stands_at(problem.mark, '*')) {
      builder.refuse_alias(problem.mark);
      return;
    }
    const auto at = static_cast<std::size_t>(std::max(problem.mark.pos, 0));
    notes.add(Builder::spot(problem.mark), fmt::format("this is no YAML: {}", problem.msg),
              at < text.size() ? hint_for(text[at]) : "");
  } catch (const std::length_error&) {
    notes.add({}, fmt::format("more than {} KiB in one word or one pair of brackets", kMostUndecided >> 10U),
              "write long lists with a dash before each entry");
  }
}

}  // namespace

std::optional<ConfigNode> read_yaml(const std::string& file, std::string_view text, ConfigProblems& problems) {
  constexpr std::string_view kMark{"\xef\xbb\xbf"};  // that some editors put before UTF-8
  if (text.starts_with(kMark)) text.remove_prefix(kMark.size());
  Notes notes{file, problems};
  Pieces pieces{text};
  Builder builder{text, pieces, notes};
  try {
    check_text(text, notes);
    build(builder, text, pieces, notes);
    if (!builder.any() && notes.none()) notes.add({}, "there is nothing in it");
  } catch (const Stop&) {
    return std::nullopt;
  } catch (const std::exception& problem) {  // std::bad_alloc
    problems.push_back({.place = {file, 0, 0}, .text = problem.what()});
    return std::nullopt;
  }
  if (!notes.none()) return std::nullopt;
  return builder.take();
}

}  // namespace pcivm::cli
