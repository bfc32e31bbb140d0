// SPDX-License-Identifier: GPL-2.0-or-later
// How all commands print their data: lists and records, in every form of --output. Only this writes to Context::out.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/context.hpp"
#include "cli/json.hpp"

namespace pcivm::cli {

struct Column {
  std::string title{};    ///< "DRIVER"; --columns takes it in any case
  bool wide_only{false};   ///< only with -o wide or when named
  bool named_only{false};  ///< only when named
  bool right{false};       ///< numbers
  bool may_cut{false};     ///< may be cut to keep the table within the terminal
};

enum class Mark : std::uint8_t { none, good, bad, notice, dim };

struct Cell {
  std::string text;  ///< empty prints as "-" in tables, as nothing in csv
  Mark mark{Mark::none};
};

/// Many things of one kind. The first column is what `-o name` prints.
struct Listing {
  std::string kind{};  ///< "DeviceList"
  std::vector<Column> columns{};
  std::vector<std::vector<Cell>> rows{};
  Json items = Json::array();  ///< what -o json and yaml print
  /// For each row the one that it stands below, which comes before it: the first column is drawn as a tree. Empty =
  /// none.
  std::vector<std::optional<std::size_t>> parents{};
  std::string empty_note{};  ///< said on stderr when there are no rows
};

/// One thing: labelled values, several lines to a label if need be.
struct Record {
  std::string kind{};  ///< "Device"
  std::string name{};  ///< for -o name
  std::vector<std::pair<std::string, std::vector<std::string>>> fields{};
  Json object = Json::object();
  void add(std::string label, std::string value) { fields.push_back({std::move(label), {std::move(value)}}); }
};

/// Index of the column that `name` means. Errc::invalid for an unknown one.
[[nodiscard]] Result<std::size_t> column_named(const std::vector<Column>& columns, const std::string& name);

/// Errc::invalid for an unknown name in --columns.
[[nodiscard]] Result<int> print(Context& context, const Listing& listing);
[[nodiscard]] Result<int> print(Context& context, const Record& record);

/// `document` in the form that -o asks for, ended by a newline: YAML, else JSON.
[[nodiscard]] std::string document_text(const Context& context, const Json& document);

}  // namespace pcivm::cli
