// SPDX-License-Identifier: GPL-2.0-or-later
// That a YAML reader gets back what JSON says is tested on real output by schema_test.py.
#include "cli/render_yaml.hpp"

#include <gmock/gmock.h>

namespace pcivm::cli {
namespace {

using testing::HasSubstr;

std::string value(const std::string& text) { return to_yaml(Json{{"key", text}}); }

TEST(Yaml, KeepsOrderAndTypes) {
  EXPECT_EQ(to_yaml(Json{{"z", nullptr}, {"a", {{{"c", 1}, {"b", true}}, {{"c", -2}}}}, {"e", Json::array()}}),
            "z: null\na:\n  - c: 1\n    b: true\n  - c: -2\ne: []\n");
}

TEST(Yaml, QuotesWhatWouldBeReadAsSomethingElse) {
  for (const std::string text :
       {"0000:01:00.0", "01:10", "1e3", "0x1f", "0755",       "12",  "-1",   ".inf", "~",  "",   "null",
        "Null",         "YES",   "off", "n",    "2026-11-23", "- a", "a: b", "a #b", "@x", "*x", "a "}) {
    EXPECT_EQ(value(text), "key: \"" + text + "\"\n");
  }
}

TEST(Yaml, LeavesOrdinaryWordsPlain) {
  for (const std::string text : {"igb", "vfio-pci", "Intel Corporation", "once", "nothing"}) {
    EXPECT_EQ(value(text), "key: " + text + "\n");
  }
}

TEST(Yaml, EscapesWhatATerminalWouldObey) {
  EXPECT_EQ(value("a\nb\x1b[2J\"\\"), "key: \"a\\nb\\x1b[2J\\\"\\\\\"\n");
  EXPECT_THAT(value("bad \xff byte"), HasSubstr("\xEF\xBF\xBD"));
}

}  // namespace
}  // namespace pcivm::cli
