// SPDX-License-Identifier: GPL-2.0-or-later
// The socket of a VM, asked by friends and foes.
#include "cli/vm_api.hpp"

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <csignal>
#include <set>
#include <string>
#include <thread>

#include "base/socket.hpp"
#include "cli/http_client.hpp"
#include "cli/json_reader.hpp"
#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"

namespace pcivm::cli {
namespace {

using test::FailsWith;
using test::IsOk;
using test::IsOkAnd;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// The server on this thread, its client on another.
class Api : public testing::Test {
 protected:
  explicit Api(bool with_console = true, MemoryWish memory = {.size = kGiB, .most = kGiB},
               std::vector<std::string> mdevs = {})
      : memory_{memory} {
    (void)std::signal(SIGPIPE, SIG_IGN);
    if (with_console) {
      auto [ours, guests] = make_socket_pair(SOCK_NONBLOCK).value();
      guest_ = std::move(guests);
      hub_ = ConsoleHub::create(*loop_, std::move(ours)).value();
    }
    api_ = VmApi::create({.loop = *loop_,
                          .stop = [this](Stop how) { stops_.push_back(how); },
                          .stopping = [this] { return !stops_.empty(); },
                          .ask_figures = [this] { ask_figures_(); },
                          .want_memory = [this](std::uint64_t bytes) { wanted_.push_back(bytes); },
                          .console = hub_.get()},
                         {.name = "web",
                          .cpus = 2,
                          .memory = memory_,
                          .devices = {"0000:01:10.0"},
                          .mdevs = std::move(mdevs),
                          .vmm = 4711},
                         listen_at(path_).value())
               .value();
  }
  // Serves until `client` is through with it.
  void serve(std::function<void()> client) {
    std::jthread thread{[&] {
      client();
      loop_->stop();
    }};
    ASSERT_THAT(loop_->run(), IsOk());
  }
  HttpAnswer answer(std::string_view method, std::string_view target, std::string_view body = {}) {
    Result<HttpAnswer> got;
    serve([&] { got = ask(path_, {.method = method, .target = target, .body = body}); });
    EXPECT_THAT(got, IsOk());
    return got.value_or(HttpAnswer{});
  }
  // Bytes as they are, then the end of this side; all that comes back.
  std::string raw(std::string_view request) {
    std::string text;
    serve([&] {
      const auto socket = connect_to(path_).value();
      (void)::send(socket.ref().number(), request.data(), request.size(), MSG_NOSIGNAL);
      (void)::shutdown(socket.ref().number(), SHUT_WR);
      text = read_to_end(socket.ref()).value_or("");
    });
    return text;
  }
  Json document(std::string_view target) { return parse_json(answer("GET", target).body, 32).value(); }

  test::TempRoot tree_;
  std::string path_{tree_.path("/api.sock").string()};
  std::unique_ptr<EventLoop> loop_ = EventLoop::create().value();
  Fd guest_;
  std::unique_ptr<ConsoleHub> hub_;
  MemoryWish memory_;
  std::vector<Stop> stops_;
  std::vector<std::uint64_t> wanted_;
  std::function<void()> ask_figures_ = [] {};
  std::unique_ptr<VmApi> api_;
};

TEST_F(Api, TellsWhatTheVmIs) {
  auto vm = document("/v1/vm");
  EXPECT_EQ(vm["name"], "web");
  EXPECT_EQ(vm["state"], "starting");
  EXPECT_EQ(vm["vmmPid"], 4711);
  EXPECT_EQ(vm["devices"], Json::array({"0000:01:10.0"}));
  api_->heard("running");
  EXPECT_EQ(document("/v1/vm")["state"], "running");
}

class ApiOfMemory : public Api {
 protected:
  ApiOfMemory() : Api{true, {.size = kGiB, .most = 3 * kGiB}} {}
};

TEST_F(ApiOfMemory, GrowsBetweenItsLimits) {
  auto memory = document("/v1/vm")["memoryHotplug"];
  EXPECT_EQ(memory["maximum"], 3 * kGiB);
  EXPECT_EQ(memory["wanted"], kGiB);
  EXPECT_EQ(memory["present"], kGiB);
  EXPECT_EQ(memory["step"], 2 * kMiB);
  const auto grown = answer("POST", "/v1/vm/memory", R"({"size":2147483648})");
  EXPECT_EQ(grown.status, 202U);
  EXPECT_EQ(parse_json(grown.body, 8).value()["wanted"], 2 * kGiB);
  EXPECT_THAT(wanted_, testing::ElementsAre(kGiB)) << "beyond what it has from the start";
  api_->heard("memory 536870912");
  memory = document("/v1/vm")["memoryHotplug"];
  EXPECT_EQ(memory["present"], kGiB + kGiB / 2);
  EXPECT_THAT(answer("GET", "/v1/metrics").body, Not(HasSubstr("memory_bytes{vm=\"web\"} 1073741824")));
  // What the VMM says is not trusted.
  for (const auto* line : {"memory", "memory ", "memory x", "memory 2147483649", "memory -1", "memory 1 2"}) {
    api_->heard(line);
  }
  EXPECT_EQ(document("/v1/vm")["memoryHotplug"], memory);
}

TEST_F(ApiOfMemory, IsAskedStrictly) {
  for (const auto body : std::initializer_list<std::string_view>{
           "", "{}", "[]", "2147483648", R"({"size":"2G"})", R"({"size":-1})", R"({"size":1.5e9})",
           R"({"size":2147483648,"more":1})", R"({"size":1073741823})", R"({"size":1073741825})",
           R"({"size":3223322624})", R"({"size":18446744073709551615})"}) {
    EXPECT_EQ(answer("POST", "/v1/vm/memory", body).status, 400U) << body;
  }
  EXPECT_TRUE(wanted_.empty());
}

TEST_F(Api, MemoryThatStaysIsNotChanged) {
  EXPECT_TRUE(document("/v1/vm")["memoryHotplug"].is_null());
  const auto refused = answer("POST", "/v1/vm/memory", R"({"size":1073741824})");
  EXPECT_EQ(refused.status, 403U);
  EXPECT_THAT(refused.body, HasSubstr("vm.no_memory_hotplug"));
}

TEST_F(Api, OnlyItsOwnerMayConnect) {
  struct stat status{};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST_F(Api, DescribesItself) {
  const auto openapi = document("/v1/openapi.json");
  std::set<std::string> described;
  for (const auto& [path, methods] : openapi["paths"].items()) {
    for (const auto& [method, operation] : methods.items()) described.insert(method + " " + path);
  }
  std::set<std::string> served;
  for (const auto& route : VmApi::routes()) {
    std::string method{route.method};
    for (auto& letter : method) letter = static_cast<char>(letter | 0x20);
    served.insert(method + " " + std::string{route.path});
  }
  EXPECT_EQ(described, served);
}

TEST_F(Api, StopsInThreeStrengths) {
  EXPECT_EQ(answer("POST", "/v1/vm/stop", R"({"how":"request"})").status, 202U);
  EXPECT_EQ(answer("POST", "/v1/vm/stop", R"({"how": "force"})").status, 202U);
  EXPECT_EQ(answer("POST", "/v1/vm/stop", R"({"how":"kill"})").status, 202U);
  EXPECT_THAT(stops_, testing::ElementsAre(Stop::request, Stop::force, Stop::kill));
  EXPECT_EQ(document("/v1/vm")["state"], "stopping");
}

TEST_F(Api, RefusesJsonThatIsNotExactlyThat) {
  const std::string deep(2000, '[');
  for (const auto body : std::initializer_list<std::string_view>{
           "", "{", "null", "[]", "\"request\"", "{}", R"({"how":1})", R"({"how":"now"})",
           R"({"how":"kill","how":"kill"})", R"({"how":"kill","more":1})", R"({"how":NaN})", R"({"how":"kill"} x)",
           R"({"how":1e999})", "{\"how\":\"\xff\"}", R"({"a":{"how":"kill"}})", "\xef\xbb\xbf", R"({how:"kill"})",
           std::string_view{deep}}) {
    EXPECT_EQ(answer("POST", "/v1/vm/stop", body).status, 400U) << body.substr(0, 40);
  }
  EXPECT_TRUE(stops_.empty());
}

TEST(ApiCalls, OfDevicesAreReadStrictly) {
  const auto attach = parse_attach(R"({"device":"0000:01:10.0","force":["no-reset"]})");
  ASSERT_THAT(attach, IsOk());
  EXPECT_EQ(attach->function, (Bdf{.bus = 1, .device = 0x10}));
  EXPECT_EQ(attach->force, std::vector<std::string>{"no-reset"});
  const auto detach = parse_detach(R"({"device":"01:10.0","how":"force","timeoutSeconds":60})");
  ASSERT_THAT(detach, IsOk());
  EXPECT_TRUE(detach->surprise);
  EXPECT_EQ(detach->patience, std::chrono::seconds{60});
  EXPECT_EQ(parse_detach(R"({"device":"01:10.0"})")->patience, std::chrono::seconds{30});
  for (const auto* body :
       {"", "{}", "[]", R"({"device":1})", R"({"device":"eth0"})", R"({"device":"01:10.0","x":1})",
        R"({"device":"01:10.0","device":"01:10.1"})", R"({"device":"01:10.0","force":"x"})",
        R"({"device":"01:10.0","force":[1]})", R"({"device":"01:10.0","force":{"a":"b"}})",
        R"({"device":"01:10.0","how":1})", R"({"device":"01:10.0","how":"kill"})",
        R"({"device":"01:10.0","timeoutSeconds":-1})", R"({"device":"01:10.0","timeoutSeconds":1e9})",
        R"({"device":"01:10.0","timeoutSeconds":99999999999999999999})"}) {
    const std::string_view text{body};
    if (!text.contains("how") && !text.contains("timeout")) {
      EXPECT_THAT(parse_attach(body), FailsWith(Errc::invalid)) << body;
    }
    if (!text.contains("force")) {
      EXPECT_THAT(parse_detach(body), FailsWith(Errc::invalid)) << body;
    }
  }
}

TEST_F(Api, WithoutDevicesNoneComesOrGoes) {
  EXPECT_EQ(answer("POST", "/v1/vm/attach", R"({"device":"01:10.0"})").status, 409U);
  EXPECT_EQ(answer("POST", "/v1/vm/detach", R"({"device":"01:10.0"})").status, 409U);
  EXPECT_EQ(answer("POST", "/v1/vm/attach", "{}").status, 400U);
  EXPECT_EQ(document("/v1/vm")["slots"], nullptr);
}

TEST_F(Api, KnowsItsPathsAndMethods) {
  EXPECT_EQ(answer("GET", "/").status, 404U);
  EXPECT_EQ(answer("GET", "/v1/vm/").status, 404U);
  EXPECT_EQ(answer("GET", "/v1/../../etc/passwd").status, 404U);
  EXPECT_EQ(answer("DELETE", "/v1/vm").status, 405U);
  EXPECT_EQ(answer("GET", "/v1/vm/stop").status, 405U);
  EXPECT_EQ(answer("GET", "/v1/vm?x=1").status, 400U);
  EXPECT_THAT(raw("PUT /v1/vm HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"), HasSubstr("\r\nAllow: GET\r\n"));
}

TEST_F(Api, RefusesWhatIsNoRequest) {
  const auto status = [this](std::string_view request) { return raw(request).substr(0, 12); };
  EXPECT_EQ(status("garbage\r\n\r\n"), "HTTP/1.1 400");
  EXPECT_EQ(status("GET /v1/vm HTTP/9.9\r\n\r\n"), "HTTP/1.1 505");
  EXPECT_EQ(status("GET /v1/vm HTTP/1.1\r\nno colon\r\n\r\n"), "HTTP/1.1 400");
  EXPECT_EQ(status("POST /v1/vm/stop HTTP/1.1\r\nContent-Length: 5000\r\n\r\n"), "HTTP/1.1 413");
  EXPECT_EQ(status("POST /v1/vm/stop HTTP/1.1\r\nContent-Length: -1\r\n\r\n"), "HTTP/1.1 400");
  EXPECT_EQ(status("POST /v1/vm/stop HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n"), "HTTP/1.1 400");
  EXPECT_EQ(status("GET /" + std::string(20'000, 'a') + " HTTP/1.1\r\n\r\n"), "HTTP/1.1 431");
  EXPECT_EQ(status("GET /v1/vm HTTP/1.1\r\nX: " + std::string(20'000, 'a') + "\r\n\r\n"), "HTTP/1.1 431");
  EXPECT_EQ(status(std::string(300, '\0')), "HTTP/1.1 400");
  EXPECT_EQ(status(std::string{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 13}), "HTTP/1.1 400");
  EXPECT_EQ(status(""), "");
  EXPECT_EQ(status("GET /v1/vm HTTP/1.1\r\nHost: x"), "");  // cut off
  EXPECT_EQ(answer("GET", "/v1/vm").status, 200U);
}

TEST_F(Api, TakesARequestByteByByteAndInChunks) {
  std::string text;
  serve([&] {
    const auto socket = connect_to(path_).value();
    for (const char byte : std::string_view{"POST /v1/vm/stop HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                                            "7\r\n{\"how\":\r\n8\r\n\"force\"}\r\n0\r\n\r\n"}) {
      (void)::send(socket.ref().number(), &byte, 1, MSG_NOSIGNAL);
    }
    text = read_to_end(socket.ref()).value_or("");
  });
  EXPECT_THAT(text, StartsWith("HTTP/1.1 202 Accepted\r\n"));
  EXPECT_THAT(stops_, testing::ElementsAre(Stop::force));
}

TEST_F(Api, GivesTheLogOfTheConsole) {
  ASSERT_THAT(write_all(guest_.ref(), "Linux version 6\r\n"), IsOk());
  (void)document("/v1/vm");  // a turn of the loop
  const auto log = answer("GET", "/v1/console/log");
  EXPECT_EQ(log.status, 200U);
  EXPECT_EQ(log.body, "Linux version 6\r\n");
}

TEST_F(Api, GivesTheConsoleItselfToOneWriterAndManyReaders) {
  ASSERT_THAT(write_all(guest_.ref(), "early "), IsOk());
  std::string heard;
  unsigned second = 0;
  unsigned reader = 0;
  serve([&] {
    auto first = upgrade(path_, "/v1/console?write=1", VmApi::kConsoleProtocol).value();
    ASSERT_TRUE(first.connection);
    second = upgrade(path_, "/v1/console?write=1", VmApi::kConsoleProtocol).value().refusal.status;
    auto third = upgrade(path_, "/v1/console", VmApi::kConsoleProtocol).value();
    reader = third.connection ? 101 : third.refusal.status;
    ASSERT_THAT(write_all(first.connection.ref(), "ls\r"), IsOk());
    std::array<char, 3> typed{};
    for (std::size_t got = 0; got < typed.size();) {
      const auto count = read_some(guest_.ref(), std::as_writable_bytes(std::span{typed}).subspan(got));
      if (count) got += *count;
    }
    EXPECT_EQ((std::string{typed.data(), typed.size()}), "ls\r");
    ASSERT_THAT(write_all(guest_.ref(), "late"), IsOk());
    heard = first.beyond;
    std::array<char, 64> chunk{};
    while (heard.size() < 10) {
      const auto count = read_some(first.connection.ref(), std::as_writable_bytes(std::span{chunk}));
      if (!count || *count == 0) break;
      heard.append(chunk.data(), *count);
    }
  });
  EXPECT_EQ(heard, "early late");
  EXPECT_EQ(second, 409U);
  EXPECT_EQ(reader, 101U);
}

TEST_F(Api, TheConsoleIsNoDocument) {
  EXPECT_EQ(answer("GET", "/v1/console").status, 426U);
  EXPECT_EQ(answer("GET", "/v1/console?write=2").status, 400U);
}

TEST_F(Api, FiguresComeFromTheVmm) {
  ask_figures_ = [this] {
    loop_->post([this] {
      for (const auto* line : {"figure exits.portIn 12", "figure boots 1", "figure evil\"} 3", "figure x -1", "figure",
                               "figure phases.exec 1000000000", "figure phases.guestInit 3500000000", "figures"}) {
        api_->heard(line);
      }
    });
  };
  const auto metrics = answer("GET", "/v1/metrics");
  EXPECT_EQ(metrics.status, 200U);
  EXPECT_THAT(metrics.body,
              AllOf(HasSubstr("pcivm_vm_exits_total{vm=\"web\",kind=\"portIn\"} 12\n"),
                    HasSubstr("# TYPE pcivm_vm_boots_total counter\npcivm_vm_boots_total{vm=\"web\"} 1\n"),
                    HasSubstr("pcivm_vm_phase_seconds{vm=\"web\",phase=\"guestInit\"} 2.5\n"),
                    HasSubstr("pcivm_vm_vmm_answered{vm=\"web\"} 1\n"), Not(HasSubstr("evil"))));
}

TEST_F(Api, TellsOfInterruptsAndDma) {
  ask_figures_ = [this] {
    loop_->post([this] {
      for (const auto* line :
           {"figure vectorsUsed.0000:01:10.0 2", "figure vectorsMost.0000:01:10.0 3", "figure routes.used 26",
            "figure routes.most 4096", "figure dma.mappedBytes 1073741824", "figure dma.runs 2",
            "figure dma.hugeRunBytes 1073741824", "figure dma.peerBytes 4096", "figure dma.populateNs 1500000000",
            "figure dma.mapNs 250000000", "figure vectorsUsed.x 1", "figures"}) {
        api_->heard(line);
      }
    });
  };
  const auto figures = document("/v1/vm/figures");
  EXPECT_EQ(figures["kind"], "VmFigures");
  EXPECT_EQ(figures["interrupts"]["routes"], 26);
  EXPECT_EQ(figures["interrupts"]["mostRoutes"], 4096);
  EXPECT_EQ(figures["interrupts"]["devices"][0]["device"], "0000:01:10.0");
  EXPECT_EQ(figures["interrupts"]["devices"][0]["vectors"], 2);
  EXPECT_EQ(figures["interrupts"]["devices"][0]["mostVectors"], 3);
  EXPECT_EQ(figures["interrupts"]["devices"][1]["mostVectors"], nullptr) << "of which nothing is told";
  EXPECT_EQ(figures["dma"]["populateSeconds"], 1.5);
  EXPECT_EQ(figures["dma"]["mapSeconds"], 0.25);
  EXPECT_EQ(figures["dma"]["peerBytes"], 4096);
  EXPECT_THAT(answer("GET", "/v1/metrics").body,
              AllOf(HasSubstr("pcivm_vm_device_vectors{vm=\"web\",device=\"0000:01:10.0\"} 2\n"),
                    HasSubstr("pcivm_vm_interrupt_routes{vm=\"web\"} 26\n"),
                    HasSubstr("pcivm_vm_dma_map_seconds{vm=\"web\"} 0.25\n")));
}

TEST_F(Api, FiguresOfASilentVmmAreNull) {
  const auto figures = document("/v1/vm/figures");
  EXPECT_EQ(figures["interrupts"], nullptr);
  EXPECT_EQ(figures["dma"], nullptr);
}

class ApiOfMdev : public Api {
 protected:
  static constexpr const char* kUuid{"83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"};
  ApiOfMdev() : Api{true, {.size = kGiB, .most = kGiB}, {kUuid}} {}
};

TEST_F(ApiOfMdev, IsListedBesideFunctions) {
  api_->heard(std::string{"wanted "} + kUuid);
  const auto vm = document("/v1/vm");
  EXPECT_EQ(vm["mdevs"], Json::array({kUuid}));
  EXPECT_EQ(vm["devices"].size(), 1U);
  ASSERT_EQ(vm["deviceEvents"].size(), 2U);
  EXPECT_EQ(vm["deviceEvents"][0]["device"], kUuid);
  EXPECT_EQ(vm["deviceEvents"][0]["requests"], 1);
}

TEST_F(Api, CountsErrorsAndRequestsOfDevices) {
  auto events = document("/v1/vm")["deviceEvents"];
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0]["errors"], 0);
  EXPECT_EQ(events[0]["lastAt"], nullptr);
  for (const auto* line : {"failed 0000:01:10.0 detach", "failed 0000:01:10.0 reset", "wanted 0000:01:10.0",
                           "failed 0000:09:00.0 stop", "wanted", "failed"}) {
    api_->heard(line);
  }
  events = document("/v1/vm")["deviceEvents"];
  ASSERT_EQ(events.size(), 1U) << "nothing of functions that it never had";
  EXPECT_EQ(events[0]["device"], "0000:01:10.0");
  EXPECT_EQ(events[0]["errors"], 2);
  EXPECT_EQ(events[0]["requests"], 1);
  EXPECT_TRUE(events[0]["lastAt"].is_string());
  EXPECT_THAT(answer("GET", "/v1/metrics").body,
              AllOf(HasSubstr("pcivm_vm_device_errors_total{vm=\"web\",device=\"0000:01:10.0\"} 2\n"),
                    HasSubstr("pcivm_vm_device_requests_total{vm=\"web\",device=\"0000:01:10.0\"} 1\n")));
}

TEST_F(Api, AVmmThatTellsNothingIsNotWaitedFor) {
  const auto metrics = answer("GET", "/v1/metrics");
  EXPECT_EQ(metrics.status, 200U);
  EXPECT_THAT(metrics.body, AllOf(HasSubstr("pcivm_vm_vmm_answered{vm=\"web\"} 0\n"), Not(HasSubstr("exits_total"))));
}

TEST_F(Api, AVmmThatTellsTooMuchIsCutOff) {
  ask_figures_ = [this] {
    for (int count = 0; count < 100'000; ++count) api_->heard("figure exits.portIn 1");
    api_->heard("figures");
  };
  EXPECT_LT(answer("GET", "/v1/metrics").body.size(), 50'000U);
}

TEST_F(Api, TellsTheEndToWhoWaitsForIt) {
  const auto waiting = send(path_, {.target = "/v1/vm/end"}).value();
  (void)document("/v1/vm");  // turns of the loop
  api_->ended(fail(Error::make(Errc::busy, "the host wants it back").coded("device.wanted")));
  const auto end = receive(waiting, std::chrono::seconds{5});
  ASSERT_THAT(end, IsOk());
  const auto document = parse_json(end->body, 8).value();
  EXPECT_EQ(document["end"], "failed");
  EXPECT_EQ(document["exit"], 4);
  EXPECT_EQ(document["error"]["code"], "device.wanted");
}

TEST_F(Api, WaitersThatWentAwayTakeNoRoom) {
  for (std::size_t count = 0; count < 3 * VmApi::kMostWaiting; ++count) {
    (void)send(path_, {.target = "/v1/vm/end"}).value();
    (void)document("/v1/vm");
  }
  const auto waiting = send(path_, {.target = "/v1/vm/end"}).value();
  (void)document("/v1/vm");
  api_->ended(vmm::VmEnd::power_off);
  EXPECT_EQ(receive(waiting, std::chrono::seconds{5}).value().status, 200U);
}

TEST_F(Api, TenThousandConnectionsDoNotHurt) {
  serve([&] {
    std::vector<Fd> held;
    for (int count = 0; count < 10'000; ++count) {
      auto socket = connect_to(path_);
      ASSERT_THAT(socket, IsOk()) << count;
      if (count % 3 == 0) (void)::send(socket->ref().number(), "GET /v1", 7, MSG_NOSIGNAL);
      held.push_back(std::move(*socket));
      if (held.size() > 500) held.erase(held.begin(), held.begin() + 250);
    }
    EXPECT_THAT(ask(path_, {.target = "/v1/vm"}), IsOk());
  });
}

class ApiWithoutConsole : public Api {
 protected:
  ApiWithoutConsole() : Api{false} {}
};

TEST_F(ApiWithoutConsole, SaysSo) {
  EXPECT_EQ(answer("GET", "/v1/console/log").status, 404U);
  EXPECT_EQ(answer("GET", "/v1/console").status, 404U);
  EXPECT_TRUE(document("/v1/vm")["console"].is_null());
}

TEST(HttpAnswers, AreWholeOrNothing) {
  EXPECT_FALSE(parse_answer(""));
  EXPECT_FALSE(parse_answer("HTTP/1.1 200 OK\r\n"));
  EXPECT_FALSE(parse_answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"));
  EXPECT_FALSE(parse_answer("HTTP/1.1 xyz\r\nContent-Length: 0\r\n\r\n"));
  EXPECT_FALSE(parse_answer("SSH-2.0\r\n\r\n"));
  EXPECT_EQ(parse_answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")->body, "abc");
}

TEST(Listening, TakesThePlaceOfADeadSocketAndReachesLongPaths) {
  const test::TempRoot tree;
  const auto path = tree.path("/" + std::string(100, 'd') + "/api.sock").string();
  std::filesystem::create_directories(std::filesystem::path{path}.parent_path());
  EXPECT_THAT(connect_to(path), FailsWith(Errc::not_found));
  (void)listen_at(path).value();
  EXPECT_THAT(connect_to(path), FailsWith(Errc::not_found));  // nobody listens any more
  const auto listener = listen_at(path);
  EXPECT_THAT(listener, IsOk());
  EXPECT_THAT(connect_to(path), IsOk());
}

}  // namespace
}  // namespace pcivm::cli
