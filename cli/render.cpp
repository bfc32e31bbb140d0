// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/render.hpp"

#include <libsmartcols.h>

#include <algorithm>
#include <cerrno>
#include <clocale>
#include <cstdlib>
#include <memory>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/lazy_library.hpp"
#include "cli/render_yaml.hpp"
#include "cli/terminal.hpp"

namespace pcivm::cli {

namespace {

struct Smartcols {
  decltype(&::scols_new_table) new_table;
  decltype(&::scols_unref_table) unref_table;
  decltype(&::scols_table_new_column) new_column;
  decltype(&::scols_table_new_line) new_line;
  decltype(&::scols_table_is_tree) is_tree;
  decltype(&::scols_line_set_data) set_data;
  decltype(&::scols_line_get_cell) cell;
  decltype(&::scols_cell_set_color) set_color;
  decltype(&::scols_table_enable_noheadings) enable_noheadings;
  decltype(&::scols_table_enable_colors) enable_colors;
  decltype(&::scols_table_set_termforce) set_termforce;
  decltype(&::scols_print_table_to_string) print;

  static Result<Smartcols> open();
};

// Only who prints a table pays for the locale: names are printed in UTF-8 where the terminal can.
Result<Smartcols> Smartcols::open() {
  std::setlocale(LC_CTYPE, "");
  Smartcols scols{};
  TRY(LazyLibrary{"libsmartcols.so.1"}
          .take("scols_new_table", scols.new_table)
          .take("scols_unref_table", scols.unref_table)
          .take("scols_table_new_column", scols.new_column)
          .take("scols_table_new_line", scols.new_line)
          .take("scols_table_is_tree", scols.is_tree)
          .take("scols_line_set_data", scols.set_data)
          .take("scols_line_get_cell", scols.cell)
          .take("scols_cell_set_color", scols.set_color)
          .take("scols_table_enable_noheadings", scols.enable_noheadings)
          .take("scols_table_enable_colors", scols.enable_colors)
          .take("scols_table_set_termforce", scols.set_termforce)
          .take("scols_print_table_to_string", scols.print)
          .whole("libsmartcols1"));
  return scols;
}

/// "in-use" and "in_use" name the column "IN USE".
std::string as_title(std::string text) {
  std::ranges::replace_if(text, [](char c) { return c == '-' || c == '_'; }, ' ');
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  return text;
}

/// Indices of the columns to print, in order.
Result<std::vector<std::size_t>> chosen(const Context& context, const Listing& listing) {
  std::vector<std::size_t> indices;
  const auto& columns = listing.columns;
  if (context.options.columns.empty()) {
    const bool all = context.options.output == Output::wide || context.options.output == Output::csv;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (columns[i].named_only || (columns[i].wide_only && !all)) continue;
      indices.push_back(i);
    }
    return indices;
  }
  for (const auto& name : context.options.columns) {
    const auto index = TRY(column_named(columns, name));
    indices.push_back(index);
  }
  return indices;
}

const char* color_of(Mark mark) {
  switch (mark) {
    case Mark::none: return nullptr;
    case Mark::good: return "green";
    case Mark::bad: return "red";
    case Mark::notice: return "yellow";
    case Mark::dim: return "halfbright";
  }
  return nullptr;
}

libscols_column* add_column(const Smartcols& scols, libscols_table& table, const Column& column, bool tree) {
  const int flags =
      (column.right ? SCOLS_FL_RIGHT : 0) | (column.may_cut ? SCOLS_FL_TRUNC : 0) | (tree ? SCOLS_FL_TREE : 0);
  // A hint of 1 = as wide as the data, and cut only when the terminal is too narrow.
  return scols.new_column(&table, column.title.c_str(), column.may_cut ? 0.1 : 1.0, flags);
}

Result<void> fill(const Smartcols& scols, libscols_table& table, const Listing& listing,
                  const std::vector<std::size_t>& indices) {
  const auto no_memory = [] { return fail_errno(ENOMEM, "make a table"); };
  for (const auto index : indices) {
    const bool tree = index == 0 && !listing.parents.empty();
    if (add_column(scols, table, listing.columns[index], tree) == nullptr) return no_memory();
  }
  std::vector<libscols_line*> lines;  // of the table
  for (const auto& row : listing.rows) {
    const auto parent = scols.is_tree(&table) != 0 ? listing.parents.at(lines.size()) : std::nullopt;
    auto* line = scols.new_line(&table, parent ? lines.at(*parent) : nullptr);
    lines.push_back(line);
    if (line == nullptr) return no_memory();
    for (std::size_t i = 0; i < indices.size(); ++i) {
      const auto& cell = row.at(indices[i]);
      if (scols.set_data(line, i, cell.text.empty() ? "-" : cell.text.c_str()) != 0) return no_memory();
      const auto* color = color_of(cell.mark);
      if (color != nullptr && !cell.text.empty()) scols.set_color(scols.cell(line, i), color);
    }
  }
  return {};
}

Result<void> print_table(Context& context, const Listing& listing, const std::vector<std::size_t>& indices) {
  const auto scols = TRY(Smartcols::open());
  const std::unique_ptr<libscols_table, decltype(scols.unref_table)> table{scols.new_table(), scols.unref_table};
  if (!table) return fail_errno(ENOMEM, "make a table");
  TRY(fill(scols, *table, listing, indices));
  scols.enable_noheadings(table.get(), context.options.headers ? 0 : 1);
  scols.enable_colors(table.get(), context.colored() ? 1 : 0);
  // Into a pipe or a file nothing is cut, nor for those who asked for all.
  const bool cut = text_width(context) != kUnbroken && context.options.output != Output::wide;
  scols.set_termforce(table.get(), cut ? SCOLS_TERMFORCE_ALWAYS : SCOLS_TERMFORCE_NEVER);
  char* raw = nullptr;
  if (scols.print(table.get(), &raw) != 0) return fail_errno(ENOMEM, "print a table");
  const std::unique_ptr<char, void (*)(void*)> text{raw, std::free};
  context.put(text.get());
  context.put("\n");
  return {};
}

/// RFC 4180: quoted when it holds a separator, quotes doubled.
std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted{'"'};
  for (const char c : text) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + '"';
}

void print_csv(Context& context, const Listing& listing, const std::vector<std::size_t>& indices) {
  const auto line = [&](auto&& text_of) {
    std::vector<std::string> fields;
    for (const auto index : indices) fields.push_back(csv_field(text_of(index)));
    context.put(fmt::format("{}\n", fmt::join(fields, ",")));
  };
  if (context.options.headers) line([&](std::size_t index) { return listing.columns[index].title; });
  for (const auto& row : listing.rows) line([&](std::size_t index) { return row.at(index).text; });
}

void print_document(Context& context, const std::string& kind, Json body) {
  Json document{{"apiVersion", "pcivm/v1"}, {"kind", kind}};
  document.update(std::move(body));
  context.put(document_text(context, document));
}

void print_fields(Context& context, const Record& record) {
  std::size_t width = 0;
  for (const auto& [label, values] : record.fields) width = std::max(width, label.size());
  for (const auto& [label, values] : record.fields) {
    auto lead = label + ":";
    for (const auto& value : values) {
      context.put(fmt::format("{:<{}} {}\n", lead, width + 1, value.empty() ? "-" : value));
      lead.clear();
    }
  }
}

/// What a table needs at least: a column that may be cut keeps a few characters.
std::size_t least_width(const Listing& listing, const std::vector<std::size_t>& indices) {
  constexpr std::size_t kCut{8};
  std::size_t sum{};
  for (const auto index : indices) {
    std::size_t width = listing.columns[index].title.size();
    for (const auto& row : listing.rows) width = std::max(width, row.at(index).text.size());
    sum += 1 + (listing.columns[index].may_cut ? std::min(width, kCut) : width);
  }
  return sum;
}

/// For a terminal that is too narrow for the table.
void print_blocks(Context& context, const Listing& listing, const std::vector<std::size_t>& indices) {
  for (const auto& row : listing.rows) {
    if (&row != &listing.rows.front()) context.put("\n");
    Record block;
    for (const auto index : indices) block.add(listing.columns[index].title, row.at(index).text);
    print_fields(context, block);
  }
}

}  // namespace

Result<std::size_t> column_named(const std::vector<Column>& columns, const std::string& name) {
  const auto found = std::ranges::find(columns, as_title(name), &Column::title);
  if (found != columns.end()) return static_cast<std::size_t>(found - columns.begin());
  std::vector<std::string> titles;
  for (const auto& column : columns) titles.push_back(column.title);
  return fail(Error::make(Errc::invalid, fmt::format("no column '{}'", name))
                  .advise(fmt::format("columns here: {}", fmt::join(titles, ", "))));
}

std::string to_text(const Json& document) { return document.dump(2, ' ', false, Json::error_handler_t::replace); }

std::string document_text(const Context& context, const Json& document) {
  return context.options.output == Output::yaml ? to_yaml(document) : to_text(document) + "\n";
}

Result<int> print(Context& context, const Listing& listing) {
  const auto indices = TRY(chosen(context, listing));
  switch (context.options.output) {
    case Output::json:
    case Output::yaml: print_document(context, listing.kind, {{"items", listing.items}}); return 0;
    case Output::csv: print_csv(context, listing, indices); return 0;
    case Output::name:
      for (const auto& row : listing.rows) context.put(fmt::format("{}\n", row.at(0).text));
      return 0;
    case Output::table:
    case Output::wide: break;
  }
  if (!listing.rows.empty()) {
    const bool narrow = context.options.output == Output::table && listing.parents.empty() &&
                        text_width(context) < least_width(listing, indices);
    if (narrow) {
      print_blocks(context, listing, indices);
      return 0;
    }
    TRY(print_table(context, listing, indices));
  } else if (!listing.empty_note.empty()) {
    context.note(listing.empty_note);
  }
  return 0;
}

Result<int> print(Context& context, const Record& record) {
  switch (context.options.output) {
    case Output::json:
    case Output::yaml: print_document(context, record.kind, record.object); return 0;
    case Output::name: context.put(fmt::format("{}\n", record.name)); return 0;
    case Output::csv:
      return fail(Error::make(Errc::invalid, "one object has no csv form").advise("use a list command, or -o json"));
    case Output::table:
    case Output::wide: break;
  }
  print_fields(context, record);
  return 0;
}

}  // namespace pcivm::cli
