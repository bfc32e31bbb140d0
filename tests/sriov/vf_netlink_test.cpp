// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/vf_netlink.hpp"

#include <gtest/gtest.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "tests/support/result_matchers.hpp"

namespace pcivm::sriov {
namespace {

using test::FailsWith;
using test::IsOk;
using testing::HasSubstr;

// Builds what the kernel sends, byte by byte and without libnl.
class Bytes {
 public:
  template <class T>
  Bytes& value(const T& item) {
    std::array<std::byte, sizeof(T)> raw{};
    std::memcpy(raw.data(), &item, sizeof item);
    bytes_.insert(bytes_.end(), raw.begin(), raw.end());
    return *this;
  }
  template <class T>
  Bytes& attribute(std::uint16_t type, const T& item) {
    return value(static_cast<std::uint16_t>(4 + sizeof(T))).value(type).value(item).pad();
  }
  Bytes& nested(std::uint16_t type, const Bytes& inner) {
    value(static_cast<std::uint16_t>(4 + inner.bytes_.size())).value(type);
    bytes_.insert(bytes_.end(), inner.bytes_.begin(), inner.bytes_.end());
    return pad();
  }
  Bytes& text(std::uint16_t type, std::string_view words) {
    value(static_cast<std::uint16_t>(4 + words.size() + 1)).value(type);
    for (const char c : words) value(c);
    return value('\0').pad();
  }
  Bytes& pad() {
    while (bytes_.size() % 4 != 0) bytes_.push_back(std::byte{});
    return *this;
  }
  [[nodiscard]] std::vector<std::byte> message(std::uint16_t type, std::uint16_t flags, std::uint32_t sequence) const {
    Bytes whole;
    whole.value(static_cast<std::uint32_t>(16 + bytes_.size())).value(type).value(flags).value(sequence);
    whole.value(std::uint32_t{0});
    auto out = whole.bytes_;
    out.insert(out.end(), bytes_.begin(), bytes_.end());
    return out;
  }

 private:
  std::vector<std::byte> bytes_;
};

Bytes vf_info(std::uint32_t index) {
  Bytes vf;
  ifla_vf_mac mac{};
  mac.vf = index;
  mac.mac[0] = 0x02;
  mac.mac[5] = static_cast<std::uint8_t>(index);
  vf.attribute(IFLA_VF_MAC, mac);
  vf.attribute(IFLA_VF_VLAN, ifla_vf_vlan{index, 100, 3});
  // 0x88a8 as it is on the wire
  const ifla_vf_vlan_info vlan{index, 100, 3, static_cast<__be16>(0xa888)};
  vf.nested(IFLA_VF_VLAN_LIST, Bytes{}.attribute(IFLA_VF_VLAN_INFO, vlan));
  vf.attribute(IFLA_VF_RATE, ifla_vf_rate{index, 10, 1000});
  vf.attribute(IFLA_VF_SPOOFCHK, ifla_vf_spoofchk{index, 0xffffffff});
  vf.attribute(IFLA_VF_LINK_STATE, ifla_vf_link_state{index, IFLA_VF_LINK_STATE_DISABLE});
  vf.attribute(IFLA_VF_TRUST, ifla_vf_trust{index, 1});
  return vf;
}

std::vector<std::byte> link_message(unsigned vfs, std::uint32_t sequence = 7) {
  Bytes list;
  for (unsigned index = 0; index < vfs; ++index) list.nested(IFLA_VF_INFO, vf_info(index));
  Bytes body;
  body.value(ifinfomsg{});
  body.attribute(IFLA_NUM_VF, vfs);
  if (vfs > 0) body.nested(IFLA_VFINFO_LIST, list);
  return body.message(RTM_NEWLINK, 0, sequence);
}

template <class T>
T at(const std::vector<std::byte>& bytes, std::size_t offset) {
  T value{};
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

TEST(VfNetlink, ReadsAllAttributesOfAllVfs) {
  const auto reply = decode(link_message(3), 7);
  ASSERT_THAT(reply, IsOk());
  ASSERT_EQ(reply->vfs.size(), 3U);
  const auto& vf = reply->vfs[2];
  EXPECT_EQ(vf.mac->to_string(), "02:00:00:00:00:02");
  EXPECT_EQ(vf.vlan, (Vlan{.id = 100, .qos = 3, .protocol = VlanProtocol::dot1ad}));
  EXPECT_EQ(vf.rate, (Rate{.min = 10, .max = 1000}));
  EXPECT_EQ(vf.link_state, LinkState::disable);
  EXPECT_EQ(vf.trust, true);
}

TEST(VfNetlink, TellsUnreportedFromOff) { EXPECT_EQ(decode(link_message(1), 7)->vfs[0].spoofchk, std::nullopt); }

TEST(VfNetlink, ReadsALinkWithoutVfs) {
  const auto reply = decode(link_message(0), 7);
  ASSERT_THAT(reply, IsOk());
  EXPECT_TRUE(reply->link);
  EXPECT_TRUE(reply->vfs.empty());
}

TEST(VfNetlink, SkipsAnswersToOtherRequests) { EXPECT_FALSE(decode(link_message(1, 6), 7)->link); }

TEST(VfNetlink, SurvivesADatagramCutAtAnyByte) {
  const auto whole = link_message(2);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const auto reply = decode(std::span{whole}.first(length), 7);
    EXPECT_FALSE(reply && reply->link) << length;
  }
}

TEST(VfNetlink, SurvivesAnyByteChanged) {
  const auto whole = link_message(2);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const unsigned mask : {0xffU, 0x01U, 0x80U}) {
      auto changed = whole;
      changed[at] ^= static_cast<std::byte>(mask);
      (void)decode(changed, 7);  // must end, inside the buffer: the sanitizer build watches
    }
  }
}

TEST(VfNetlink, TellsTheDriversOwnWords) {
  nlmsgerr error{};
  error.error = -EINVAL;
  error.msg.nlmsg_len = 64;
  Bytes body;
  body.value(error).text(NLMSGERR_ATTR_MSG, "VF is being reset");
  const auto reply = decode(body.message(NLMSG_ERROR, NLM_F_ACK_TLVS | NLM_F_CAPPED, 7), 7);
  ASSERT_THAT(reply, IsOk());
  EXPECT_TRUE(reply->acknowledged);
  EXPECT_EQ(reply->error, EINVAL);
  EXPECT_EQ(reply->message, "VF is being reset");
}

TEST(VfNetlink, SkipsTheRepeatedRequestBeforeTheDriversWords) {
  nlmsgerr error{};
  error.error = -EPERM;
  error.msg.nlmsg_len = 24;
  Bytes body;
  body.value(error).value(std::uint64_t{0}).text(NLMSGERR_ATTR_MSG, "no");
  EXPECT_EQ(decode(body.message(NLMSG_ERROR, NLM_F_ACK_TLVS, 7), 7)->message, "no");
}

TEST(VfNetlink, AcknowledgesSuccess) {
  const auto reply = decode(Bytes{}.value(nlmsgerr{}).message(NLMSG_ERROR, NLM_F_CAPPED, 7), 7);
  ASSERT_THAT(reply, IsOk());
  EXPECT_TRUE(reply->acknowledged);
  EXPECT_EQ(reply->error, 0);
}

TEST(VfNetlink, AsksForVfsWithoutTheirStatistics) {
  const auto request = encode_read(3, 9);
  EXPECT_EQ(at<std::uint32_t>(request, 0), request.size());
  EXPECT_EQ(at<std::uint16_t>(request, 4), RTM_GETLINK);
  EXPECT_EQ(at<std::uint32_t>(request, 8), 9U);
  EXPECT_EQ(at<std::int32_t>(request, 16 + 4), 3);
  EXPECT_EQ(at<std::uint32_t>(request, 36), static_cast<std::uint32_t>(RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS));
}

// Offsets: 16 header, 16 ifinfomsg, 4 list, 4 info, 4 attribute.
constexpr std::size_t kFirst{16 + 16 + 4 + 4};

TEST(VfNetlink, SendsTheVlanProtocolInNetworkOrder) {
  const auto request = encode_set(3, 5, Vlan{.id = 7, .qos = 1, .protocol = VlanProtocol::dot1ad}, 9);
  EXPECT_EQ(at<std::uint16_t>(request, kFirst + 2) & NLA_TYPE_MASK, IFLA_VF_VLAN_LIST);
  const auto info = at<ifla_vf_vlan_info>(request, kFirst + 4 + 4);
  EXPECT_EQ(info.vf, 5U);
  EXPECT_EQ(at<std::uint8_t>(request, kFirst + 8 + 12), 0x88);
  EXPECT_EQ(at<std::uint8_t>(request, kFirst + 8 + 13), 0xa8);
}

TEST(VfNetlink, SendsAnOrdinaryVlanByTheOlderAttribute) {
  const auto request = encode_set(3, 5, Vlan{.id = 7, .qos = 1}, 9);
  EXPECT_EQ(at<std::uint16_t>(request, kFirst + 2), IFLA_VF_VLAN);
  EXPECT_EQ(at<ifla_vf_vlan>(request, kFirst + 4).vlan, 7U);
  EXPECT_EQ(request.size(), kFirst + 4 + sizeof(ifla_vf_vlan));
}

TEST(VfNetlink, SendsEachOtherChangeAsOneAttribute) {
  const MacAddress mac{{0x02, 1, 2, 3, 4, 5}};
  const std::pair<VfChange, int> cases[] = {{mac, IFLA_VF_MAC},
                                            {Rate{.min = 1, .max = 2}, IFLA_VF_RATE},
                                            {SpoofCheck{true}, IFLA_VF_SPOOFCHK},
                                            {LinkState::enable, IFLA_VF_LINK_STATE},
                                            {Trust{true}, IFLA_VF_TRUST}};
  for (const auto& [change, type] : cases) {
    const auto request = encode_set(3, 5, change, 9);
    EXPECT_EQ(at<std::uint16_t>(request, kFirst + 2), type);
    EXPECT_EQ(at<std::uint16_t>(request, kFirst) + kFirst, request.size());
    EXPECT_EQ(at<std::uint32_t>(request, kFirst + 4), 5U);
  }
  EXPECT_EQ(at<std::uint8_t>(encode_set(3, 5, mac, 9), kFirst + 8), 0x02);
}

TEST(VfAttributes, AreTheSameAfterTheJournal) {
  const VfAttributes full{.mac = MacAddress{{2, 0, 0, 0, 0, 9}},
                          .vlan = Vlan{.id = 5, .qos = 2, .protocol = VlanProtocol::dot1ad},
                          .rate = Rate{.min = 1, .max = 2},
                          .spoofchk = false,
                          .link_state = LinkState::disable,
                          .trust = true};
  for (const auto& attributes : {full, VfAttributes{}, VfAttributes{.mac = MacAddress{}}}) {
    EXPECT_EQ(parse_attributes(serialize(attributes)), attributes);
  }
  EXPECT_THAT(parse_attributes("mac"), FailsWith(Errc::invalid));
  EXPECT_THAT(parse_attributes("vlan=1,2;"), FailsWith(Errc::invalid, HasSubstr("id,qos,protocol")));
}

}  // namespace
}  // namespace pcivm::sriov
