// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/render_yaml.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <yaml-cpp/yaml.h>

namespace pcivm::cli {

namespace {

constexpr bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Words that YAML 1.1 (https://yaml.org/type/bool.html, null.html) or the core schema of 1.2 reads as something else.
bool is_reserved(std::string_view text) {
  constexpr std::array<std::string_view, 9> kWords{"y", "n", "yes", "no", "true", "false", "on", "off", "null"};
  return std::ranges::any_of(kWords, [&](std::string_view word) {
    return std::ranges::equal(text, word, {}, [](char c) { return is_letter(c) ? static_cast<char>(c | 0x20) : c; });
  });
}

// Far less than YAML allows: what starts with a letter is no number, and these characters mean nothing anywhere.
bool may_be_plain(std::string_view text) {
  const auto harmless = [](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || std::string_view{" _-./+()"}.find(c) != std::string_view::npos;
  };
  return !text.empty() && is_letter(text.front()) && text.back() != ' ' && std::ranges::all_of(text, harmless) &&
         !is_reserved(text);
}

void emit_string(YAML::Emitter& emitter, const std::string& text) {
  if (!may_be_plain(text)) emitter << YAML::DoubleQuoted;
  emitter << text;
}

void emit(YAML::Emitter& emitter, const Json& node) {
  if (node.is_object()) {
    if (node.empty()) emitter << YAML::Flow;
    emitter << YAML::BeginMap;
    for (const auto& [key, value] : node.items()) {
      emitter << YAML::Key;
      emit_string(emitter, key);
      emitter << YAML::Value;
      emit(emitter, value);
    }
    emitter << YAML::EndMap;
  } else if (node.is_array()) {
    if (node.empty()) emitter << YAML::Flow;
    emitter << YAML::BeginSeq;
    for (const auto& value : node) emit(emitter, value);
    emitter << YAML::EndSeq;
  } else if (node.is_string()) {
    emit_string(emitter, node.get_ref<const std::string&>());
  } else if (node.is_null()) {
    emitter << YAML::Null;
  } else {
    emitter << node.dump();  // true, false and numbers are the same in both
  }
}

}  // namespace

std::string to_yaml(const Json& document) {
  YAML::Emitter emitter;
  emitter.SetNullFormat(YAML::LowerNull);
  emit(emitter, document);
  return std::string{emitter.c_str(), emitter.size()} + "\n";
}

}  // namespace pcivm::cli
