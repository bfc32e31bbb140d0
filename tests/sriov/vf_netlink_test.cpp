// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/vf_netlink.hpp"

#include <gtest/gtest.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <random>

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
  vf.attribute(IFLA_VF_RSS_QUERY_EN, ifla_vf_rss_query_en{index, 0});
  ifla_vf_guid guid{};
  guid.vf = index;
  guid.guid = 0x0c42a10300010200 + index;
  vf.attribute(IFLA_VF_IB_NODE_GUID, guid);
  return vf;
}

// As rtnl_fill_ifinfo() does it: an attribute before the VFs and one behind them. `present` VFs of `counted`.
std::vector<std::byte> link_message(const std::vector<unsigned>& present, unsigned counted,
                                    std::uint32_t sequence = 7) {
  Bytes list;
  for (const auto index : present) list.nested(IFLA_VF_INFO, vf_info(index));
  Bytes body;
  body.value(ifinfomsg{}).text(IFLA_IFNAME, "eth0");
  body.attribute(IFLA_NUM_VF, counted);
  if (counted > 0) body.nested(IFLA_VFINFO_LIST, list);
  body.attribute(IFLA_GROUP, 0U);
  return body.message(RTM_NEWLINK, 0, sequence);
}

std::vector<std::byte> link_message(unsigned vfs, std::uint32_t sequence = 7) {
  std::vector<unsigned> all(vfs);
  std::iota(all.begin(), all.end(), 0U);
  return link_message(all, vfs, sequence);
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
  EXPECT_EQ(vf.rss_query, false);
  EXPECT_EQ(vf.node_guid->to_string(), "0c:42:a1:03:00:01:02:02");
  EXPECT_EQ(vf.port_guid, std::nullopt);
}

// A VF takes 220 bytes in these images, so that their list's length overflows its 16 bits from 298 VFs on; the kernel's
// own image of a VF without GUID takes 196 and overflows from 335 on.
TEST(VfNetlink, ReadsMoreVfsThanTheLengthOfTheirListCanTell) {
  for (const unsigned vfs : {221U, 222U, 256U, 297U, 298U, 334U, 335U, 400U, 1024U}) {
    const auto reply = decode(link_message(vfs), 7);
    ASSERT_THAT(reply, IsOk()) << vfs;
    ASSERT_EQ(reply->vfs.size(), vfs);
    for (unsigned index = 0; index < vfs; ++index) {
      ASSERT_EQ(reply->vfs[index].mac->octets[5], index % 256) << vfs;
      ASSERT_EQ(reply->vfs[index].node_guid->value, 0x0c42a10300010200 + index) << vfs;
    }
  }
}

TEST(VfNetlink, NeverBelievesAListThatLacksVfs) {
  // As if the kernel had cut the list at the overflow: each VF that is missing is not reported.
  std::vector<unsigned> present(340);
  std::iota(present.begin(), present.end(), 0U);
  const auto reply = decode(link_message(present, 400), 7);
  ASSERT_THAT(reply, IsOk());
  ASSERT_EQ(reply->vfs.size(), 400U);
  EXPECT_EQ(reply->vfs[339].mac->octets[5], 339 % 256);
  EXPECT_EQ(reply->vfs[340], VfAttributes{});
}

TEST(VfNetlink, PlacesVfsByTheirNumberWhenTheDriverLeavesSomeOut) {
  const auto reply = decode(link_message({0, 2, 5}, 7), 7);
  ASSERT_THAT(reply, IsOk());
  ASSERT_EQ(reply->vfs.size(), 7U);
  EXPECT_EQ(reply->vfs[1], VfAttributes{});
  EXPECT_EQ(reply->vfs[2].mac->octets[5], 2);
  EXPECT_EQ(reply->vfs[5].mac->octets[5], 5);
  EXPECT_THAT(decode(link_message({0, 0, 1}, 7), 7), FailsWith(Errc::kernel, HasSubstr("one of them as VF 0")));
  EXPECT_THAT(decode(link_message({0, 9}, 7), 7), FailsWith(Errc::kernel, HasSubstr("as VF 9")));
}

TEST(VfNetlink, TakesTheOrderForTheNumberWhenAllAreThere) {
  // Drivers that do not fill in ifla_vf_info.vf report every VF as number 0.
  const auto reply = decode(link_message({0, 0, 0}, 3), 7);
  ASSERT_THAT(reply, IsOk());
  EXPECT_EQ(reply->vfs.size(), 3U);
}

TEST(VfNetlink, RefusesAListWhoseLengthDisagreesWithItsVfs) {
  auto message = link_message(3);
  const std::size_t list = 16 + 16 + 12 + 8;  // headers, name, number
  ASSERT_EQ(at<std::uint16_t>(message, list + 2), IFLA_VFINFO_LIST);
  message[list] ^= std::byte{4};
  EXPECT_THAT(decode(message, 7), FailsWith(Errc::invalid, HasSubstr("garbled after 3 of 3")));
}

// F13: whatever comes, it is read inside its bounds, and is an error or says no more VFs than it has bytes for.
TEST(VfNetlink, SurvivesRandomBytesBehindAPlausibleHeader) {
  std::mt19937 random{20261123};
  for (unsigned round = 0; round < 20'000; ++round) {
    auto message = link_message(round % 4);
    for (auto flips = random() % 12; flips > 0; --flips) {
      message[16 + random() % (message.size() - 16)] = static_cast<std::byte>(random());
    }
    if (round % 3 == 0) message.resize(random() % (message.size() + 1));
    const auto reply = decode(message, 7);
    ASSERT_TRUE(!reply || reply->vfs.size() <= 0xffff);
  }
}

TEST(VfNetlink, SurvivesPureNoise) {
  std::mt19937 random{7};
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::byte> noise(random() % 200);
    for (auto& byte : noise) byte = static_cast<std::byte>(random());
    (void)decode(noise, 7);
  }
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

Result<std::vector<std::byte>> encode_one(unsigned vf, const VfChange& change) {
  const VfSetting setting{.vf = vf, .change = change};
  return encode_set(3, std::span{&setting, 1}, 9);
}

TEST(VfNetlink, SendsTheVlanProtocolInNetworkOrder) {
  const auto request = encode_one(5, Vlan{.id = 7, .qos = 1, .protocol = VlanProtocol::dot1ad}).value();
  EXPECT_EQ(at<std::uint16_t>(request, kFirst + 2) & NLA_TYPE_MASK, IFLA_VF_VLAN_LIST);
  const auto info = at<ifla_vf_vlan_info>(request, kFirst + 4 + 4);
  EXPECT_EQ(info.vf, 5U);
  EXPECT_EQ(at<std::uint8_t>(request, kFirst + 8 + 12), 0x88);
  EXPECT_EQ(at<std::uint8_t>(request, kFirst + 8 + 13), 0xa8);
}

TEST(VfNetlink, SendsAnOrdinaryVlanByTheOlderAttribute) {
  const auto request = encode_one(5, Vlan{.id = 7, .qos = 1}).value();
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
                                            {RssQuery{true}, IFLA_VF_RSS_QUERY_EN},
                                            {NodeGuid{{5}}, IFLA_VF_IB_NODE_GUID},
                                            {PortGuid{{5}}, IFLA_VF_IB_PORT_GUID},
                                            {Trust{true}, IFLA_VF_TRUST}};
  for (const auto& [change, type] : cases) {
    const auto request = encode_one(5, change).value();
    EXPECT_EQ(at<std::uint16_t>(request, kFirst + 2), type);
    EXPECT_EQ(at<std::uint16_t>(request, kFirst) + kFirst, request.size());
    EXPECT_EQ(at<std::uint32_t>(request, kFirst + 4), 5U);
  }
  EXPECT_EQ(at<std::uint8_t>(encode_one(5, mac).value(), kFirst + 8), 0x02);
  EXPECT_EQ(at<std::uint64_t>(encode_one(5, PortGuid{{0x11}}).value(), kFirst + 12), 0x11U);
  EXPECT_THAT(encode_one(5, MsixCount{4}), FailsWith(Errc::internal));
}

// One message each, and success is told once.
TEST(VfNetlink, SendsManyChangesAtOnce) {
  const std::vector<VfSetting> settings{{0, MacAddress{{2, 0, 0, 0, 0, 1}}}, {1, Vlan{.id = 7}}, {1, Trust{true}}};
  const auto request = encode_set(3, settings, 0xffffffff).value();
  std::size_t start{};
  for (std::uint32_t index = 0; index < 3; ++index) {
    ASSERT_LT(start + kFirst, request.size());
    EXPECT_EQ(start % 4, 0U);
    EXPECT_EQ(at<std::uint16_t>(request, start + 6), NLM_F_REQUEST | (index == 2 ? NLM_F_ACK : 0));
    EXPECT_EQ(at<std::uint32_t>(request, start + 8), 0xffffffff + index);
    EXPECT_EQ(at<std::uint32_t>(request, start + kFirst + 4), settings[index].vf);
    start += at<std::uint32_t>(request, start);
  }
  EXPECT_EQ(start, request.size());
}

TEST(VfNetlink, TellsWhichOfManyWasRefused) {
  const auto answer = [](std::uint32_t sequence, int error) {
    nlmsgerr content{};
    content.error = -error;
    return Bytes{}.value(content).message(NLMSG_ERROR, NLM_F_CAPPED, sequence);
  };
  auto datagram = answer(0, EINVAL);  // the sequence went on from 0xffffffff
  for (const auto byte : answer(1, 0)) datagram.push_back(byte);
  for (const auto byte : answer(7, EBUSY)) datagram.push_back(byte);  // of somebody else's request
  const auto answers = decode_answers(datagram, 0xffffffff, 3);
  ASSERT_THAT(answers, IsOk());
  ASSERT_EQ(answers->size(), 2U);
  EXPECT_EQ(answers->at(0).index, 1U);
  EXPECT_EQ(answers->at(0).error, EINVAL);
  EXPECT_EQ(answers->at(1).index, 2U);
  EXPECT_EQ(answers->at(1).error, 0);
  datagram.pop_back();
  EXPECT_THAT(decode_answers(datagram, 0xffffffff, 3), FailsWith(Errc::invalid));
}

TEST(VfAttributes, AreTheSameAfterTheJournal) {
  const VfAttributes full{.mac = MacAddress{{2, 0, 0, 0, 0, 9}},
                          .vlan = Vlan{.id = 5, .qos = 2, .protocol = VlanProtocol::dot1ad},
                          .rate = Rate{.min = 1, .max = 2},
                          .spoofchk = false,
                          .link_state = LinkState::disable,
                          .trust = true,
                          .rss_query = false,
                          .node_guid = Guid{0x0c42a10300010203},
                          .port_guid = Guid{},
                          .msix_count = 8};
  for (const auto& attributes : {full, VfAttributes{}, VfAttributes{.mac = MacAddress{}}}) {
    EXPECT_EQ(parse_attributes(serialize(attributes)), attributes);
  }
  EXPECT_THAT(parse_attributes("mac"), FailsWith(Errc::invalid));
  EXPECT_THAT(parse_attributes("vlan=1,2;"), FailsWith(Errc::invalid, HasSubstr("id,qos,protocol")));
}

TEST(Guid, IsEightOctets) {
  EXPECT_EQ(Guid::parse("0c:42:a1:03:00:01:02:03")->value, 0x0c42a10300010203U);
  EXPECT_EQ(Guid{0x0c42a10300010203}.to_string(), "0c:42:a1:03:00:01:02:03");
  for (const auto* bad : {"", "0c:42:a1:03:00:01:02", "0c:42:a1:03:00:01:02:03:04", "0c:42:a1:03:00:01:02:xx",
                          "0c42:a1:03:00:01:02:033", "0c:42:a1:03:00:01:02:3"}) {
    EXPECT_THAT(Guid::parse(bad), FailsWith(Errc::invalid)) << bad;
  }
}

}  // namespace
}  // namespace pcivm::sriov
