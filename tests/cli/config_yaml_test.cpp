// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>

#include <string>

#include "cli/config_yaml.hpp"

namespace pcivm::cli {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

struct Outcome {
  std::optional<ConfigNode> root;
  ConfigProblems problems;
};

Outcome read(std::string_view text) {
  Outcome outcome;
  outcome.root = read_yaml("f", text, outcome.problems);
  return outcome;
}

/// All problems as they are printed.
std::vector<std::string> problems_of(std::string_view text) {
  std::vector<std::string> texts;
  for (const auto& problem : read(text).problems) texts.push_back(as_error(problem).text());
  return texts;
}

std::string repeated(std::string_view piece, std::size_t bytes) {
  std::string text;
  while (text.size() + piece.size() <= bytes) text += piece;
  return text;
}

TEST(ConfigYaml, IsATreeWithPlaces) {
  const auto outcome = read("a: 012\nlist:\n  - {x: \"yes\", y: ~}\n  - z\n");
  ASSERT_TRUE(outcome.root) << as_error(outcome.problems).text();
  ASSERT_THAT(outcome.root->entries, SizeIs(2));
  const auto& [key, line, column, value] = outcome.root->entries[0];
  EXPECT_EQ(key, "a");
  EXPECT_EQ(line, 1U);
  EXPECT_EQ(column, 1U);
  EXPECT_EQ(value.text, "012");
  EXPECT_FALSE(value.quoted);
  EXPECT_EQ(value.column, 4U);
  const auto& list = outcome.root->entries[1].value;
  ASSERT_THAT(list.items, SizeIs(2));
  EXPECT_EQ(list.items[0].line, 3U);
  EXPECT_EQ(list.items[0].column, 5U);
  ASSERT_THAT(list.items[0].entries, SizeIs(2));
  EXPECT_TRUE(list.items[0].entries[0].value.quoted);
  EXPECT_EQ(list.items[0].entries[1].value.kind, ConfigNode::Kind::null);
  EXPECT_EQ(list.items[0].entries[1].column, 16U);
  EXPECT_EQ(list.items[1].text, "z");
}

TEST(ConfigYaml, KeepsTheOrderAndTakesAnyEndOfLine) {
  const auto outcome = read(
      "\xef\xbb\xbf"
      "b: 1\r\na: 2\r\n");
  ASSERT_TRUE(outcome.root);
  ASSERT_THAT(outcome.root->entries, SizeIs(2));
  EXPECT_EQ(outcome.root->entries[0].key, "b");
  EXPECT_EQ(outcome.root->entries[0].value.text, "1");
  EXPECT_EQ(outcome.root->entries[1].line, 2U);
}

TEST(ConfigYaml, NamesBothPlacesOfAKeyThatIsGivenTwice) {
  EXPECT_THAT(
      problems_of("a:\n  x: 1\n  y: 2\n  \"x\": 3\nb: {c: 1, c: 2}\n"),
      ElementsAre("f:4:3: key 'x' is given twice, first at f:2:3", "f:5:11: key 'c' is given twice, first at f:5:5"));
}

TEST(ConfigYaml, TellsAllAnchorsAliasesTagsAndMergeKeysAtOnce) {
  EXPECT_THAT(problems_of("a: &x [1]\nb: *x\nc: !!str d\nd: ! e\ne:\n  <<: f\n"),
              ElementsAre("f:1:4: an anchor '&x', wanted none", "f:2:4: an alias '*', wanted none",
                          "f:3:4: a tag 'tag:yaml.org,2002:str', wanted none", "f:4:4: a tag '!', wanted none",
                          "f:6:3: a merge key '<<', wanted none"));
  EXPECT_THAT(problems_of("a: &x {b: *x}\n"), SizeIs(2));  // an alias of what it is in
  EXPECT_THAT(problems_of("a: *nowhere\n"), ElementsAre("f:1:4: an alias '*', wanted none"));
  EXPECT_THAT(problems_of("a: !!python/object/apply:os.system [ls]\n"), ElementsAre(HasSubstr("a tag 'tag:yaml.org")));
  EXPECT_THAT(problems_of("!x a: b\n"), ElementsAre(HasSubstr("f:1:1: a tag '!x'")));
}

TEST(ConfigYaml, IsOneDocument) {
  EXPECT_TRUE(read("---\na: 1\n...\n").root);
  EXPECT_THAT(problems_of("a: 1\n---\nb: 2\n"), ElementsAre("f:2:1: a second document, wanted one"));
  EXPECT_THAT(problems_of("%TAG ! tag:x:\n---\na: 1\n"), ElementsAre("f:1:1: a YAML directive, wanted none"));
  for (const auto* nothing : {"", "\n", "# only this\n"}) {
    EXPECT_THAT(problems_of(nothing), ElementsAre("f: there is nothing in it")) << nothing;
  }
}

TEST(ConfigYaml, IsUtf8WithoutControlCharacters) {
  EXPECT_TRUE(read("a: gr\xc3\xb6\xc3\x9f"
                   "e \xe2\x82\xac \xf0\x9f\x90\xa7\n")
                  .root);
  using namespace std::string_literals;
  for (const auto& [bad, place] : {std::pair{"a: x\0y\n"s, "f:1:5"},
                                   {"a\nb: \x1b[31m\n"s, "f:2:4"},
                                   {"a: \x7f\n"s, "f:1:4"},
                                   {"a: x\rb: y\n"s, "f:1:5"},
                                   {"a: \xc0\xaf\n"s, "f:1:4"},
                                   {"a: \xed\xa0\x80\n"s, "f:1:4"},
                                   {"a: \xf5\x80\x80\x80\n"s, "f:1:4"},
                                   {"a: \xe2\x82"s, "f:1:4"},
                                   {"\xff\xfe"
                                    "a\0:\0"s,
                                    "f:1:1"},
                                   {"\0a\0:"s, "f:1:1"},
                                   {"a: \xe2\x80\xa8 x\n"s, "f:1:4"},
                                   {"a: \xc2\x85 x\n"s, "f:1:4"}}) {
    EXPECT_THAT(problems_of(bad), ElementsAre(testing::StartsWith(place))) << testing::PrintToString(bad);
  }
}

TEST(ConfigYaml, HasNoTabsAsIndentation) {
  EXPECT_THAT(problems_of("a:\n\tb: 1\n"), testing::Contains("f:2:1: a tab as indentation, wanted blanks"));
  EXPECT_THAT(problems_of("a:\n  -\tb: 1\n"), testing::Contains("f:2:4: a tab as indentation, wanted blanks"));
  EXPECT_TRUE(read("a:\tb\t# c\n\t# only a comment\n\t\n").root);
}

TEST(ConfigYaml, HasWordsAsKeys) {
  EXPECT_THAT(problems_of("[a]: b\n"), ElementsAre(HasSubstr("f:1:1: a key that is no word")));
  EXPECT_THAT(problems_of("? {a: b}\n: c\n"), ElementsAre(HasSubstr("a key that is no word")));
  EXPECT_THAT(problems_of(": c\n"), ElementsAre(HasSubstr("a key that is no word")));
}

TEST(ConfigYaml, SaysWhereItIsNoYaml) {
  EXPECT_THAT(problems_of("a: [1, 2\nb: 3\n"), ElementsAre(HasSubstr("this is no YAML")));
  EXPECT_THAT(problems_of("a: b: c\n"), ElementsAre(AllOf(HasSubstr("f:1:5"), HasSubstr("this is no YAML"))));
  EXPECT_THAT(problems_of("a: \"x\n"), ElementsAre(HasSubstr("this is no YAML")));
  EXPECT_THAT(read("a: %x\n").problems.at(0).hint, HasSubstr("must be in quotes"));
  EXPECT_THAT(problems_of("a: @x\n"), ElementsAre(HasSubstr("f:1:4")));
}

TEST(ConfigYaml, HasLimits) {
  EXPECT_THAT(problems_of(std::string(kConfigMostBytes + 1, ' ')), ElementsAre(HasSubstr("wanted at most 1048576")));
  EXPECT_THAT(problems_of("a: " + std::string(33, '[') + std::string(33, ']')),
              ElementsAre(HasSubstr("nested more than 32 deep")));
  EXPECT_TRUE(read("a: " + std::string(31, '[') + std::string(31, ']')).root);
  EXPECT_THAT(problems_of(repeated("- a\n", 500'000)), ElementsAre(HasSubstr("more than 100000 values")));
  std::string keys;
  for (int i = 0; i < 49'000; ++i) keys += std::to_string(i) + ": x\n";
  EXPECT_TRUE(read(keys).root);
}

// Each is what one part of yaml-cpp or of this reader likes least. Memory is measured by tests/cli/config_test.py.
TEST(ConfigYaml, EndsSoonWhateverTheText) {
  for (const auto* piece :
       {"[",         "{",   "[,",       "- ",    "? ",   ": ", "-\n",  "a:\n", "&a ", "- &a b\n", "! ",
        "- !!x y\n", "*a ", "\"",       "'",     "|\n",  "> ", "#\n",  " ",    "\n",  "---\n",    "...\n",
        "\"a\":",    "[],", "{a: b}, ", "a: b,", "a:b ", "a%", "x\n ", "\\n",  "}",   "]"}) {
    for (const auto* start : {"", "["}) {
      ConfigProblems problems;
      EXPECT_FALSE(read_yaml("f", start + repeated(piece, 300'000), problems)) << start << piece;
      EXPECT_THAT(problems, testing::Not(IsEmpty())) << start << piece;
      EXPECT_LE(problems.size(), kConfigMostProblems);
    }
  }
}

}  // namespace
}  // namespace pcivm::cli
