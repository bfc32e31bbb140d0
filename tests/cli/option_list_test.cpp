// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/option_list.hpp"

#include <gmock/gmock.h>

#include "tests/support/result_matchers.hpp"

namespace pcivm::cli {
namespace {

using test::FailsWith;
using test::IsOkAnd;
using testing::HasSubstr;

const OptionList::Keys kKeys{.valued = {"path", "queues", "ring"}, .flags = {"readonly"}};

Result<OptionList> parse(std::string_view text) { return OptionList::parse("--disk", text, kKeys); }

TEST(OptionList, ReadsValuesAndFlags) {
  const auto list = parse("path=/a b,readonly,queues=4").value();
  EXPECT_THAT(list.required("path"), IsOkAnd(std::string{"/a b"}));
  EXPECT_TRUE(list.flag("readonly"));
  EXPECT_THAT(list.number("queues", 16, 1), IsOkAnd(4U));
  EXPECT_THAT(list.choice("ring", {"split", "packed"}), IsOkAnd(std::string{"split"}));
}

TEST(OptionList, TwoCommasAreOneInAValue) {
  EXPECT_THAT(parse("path=a,,b=c,readonly").value().required("path"), IsOkAnd(std::string{"a,b=c"}));
}

TEST(OptionList, RefusesWhatItDoesNotKnow) {
  for (const auto* text : {"", ",", "path", "path=", "path=a,", "path=a,path=b", "readonly=yes", "colour=red", "=a"}) {
    EXPECT_THAT(parse(text), FailsWith(Errc::invalid, HasSubstr("--disk"))) << text;
  }
}

TEST(OptionList, ChecksNumbersAndChoices) {
  const auto list = parse("path=a,queues=17,ring=round").value();
  EXPECT_THAT(list.number("queues", 16, 1), FailsWith(Errc::invalid, HasSubstr("queues")));
  EXPECT_THAT(list.choice("ring", {"split", "packed"}), FailsWith(Errc::invalid, HasSubstr("split or packed wanted")));
  EXPECT_THAT(parse("readonly").value().required("path"), FailsWith(Errc::invalid, HasSubstr("'path=' is missing")));
  EXPECT_THAT(parse("queues=0").value().number("queues", 16, 1), FailsWith(Errc::invalid));
}

}  // namespace
}  // namespace pcivm::cli
