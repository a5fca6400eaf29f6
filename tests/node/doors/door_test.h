// DoorTest: asks the AIStore door as a client would, without a socket.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/memory_disk.h"
#include "io/sim_kernel.h"
#include "node/doors/ais/ais_door.h"
#include "tests/node/doors/fake_service.h"

namespace penstock::node::testing {

struct Answer {
    uint16_t status = 0;
    std::string headers;  // "Name: value\r\n" for each
    std::string body;
    std::optional<uint64_t> length_only;
    bool closes = false;

    // The value of the first header of this name, or "<absent>".
    std::string header(std::string_view name) const {
        const std::string start = std::string(name) + ": ";
        size_t at = headers.starts_with(start) ? 0 : headers.find("\r\n" + start);
        if (at == std::string::npos) return "<absent>";
        if (at != 0) at += 2;
        at += start.size();
        return headers.substr(at, headers.find("\r\n", at) - at);
    }
    nlohmann::json json() const { return nlohmann::json::parse(body, nullptr, false); }
};

using Headers = std::vector<std::pair<std::string, std::string>>;

class DoorTest : public ::testing::Test {
protected:
    void TearDown() override {
        reactor_.run_until_done(door_.stop());
        reactor_.run_until_done(jobs_->stop());
    }

    Answer ask(std::string_view method, const std::string& target, std::string_view body = "",
               const Headers& headers = {}) {
        std::string text = std::string(method) + ' ' + target + " HTTP/1.1\r\nHost: h\r\n";
        for (const auto& [name, value] : headers) text += name + ": " + value + "\r\n";
        text += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
        io::http::RequestHead head;
        const auto parsed = io::http::parse_request_head(as_bytes(text), {}, head);
        if (!parsed) return {parsed.error().status, {}, parsed.error().reason, {}, true};
        io::Body content = io::Body::copy_of(buffers_, as_bytes(body));
        io::http::Request request{head, content, buffers_, reactor_, "127.0.0.1:9", false};
        return reactor_.run_until_done(ask_door(door_, request));
    }

    static io::Task<Answer> ask_door(AisDoor& door, io::http::Request& request) {
        io::http::Response response = co_await door.handle(0, request);
        Answer answer{response.head.status(),
                      response.head.text(),
                      {},
                      response.length_only,
                      response.closes};
        const auto source = response.body.into_source(request.reactor, request.buffers);
        for (;;) {
            const auto chunk = co_await source->next();
            if (!chunk || chunk->is_empty()) break;
            answer.body.append(as_text(chunk->bytes()));
        }
        co_return answer;
    }

    void create(const std::string& bucket, std::string_view properties = "null") {
        const std::string message =
            R"({"action":"create-bck","name":"","value":)" + std::string(properties) + "}";
        ASSERT_EQ(ask("POST", "/v1/buckets/" + bucket, message).status, 200);
    }
    Answer put(const std::string& object, std::string_view body, const Headers& headers = {}) {
        return ask("PUT", "/v1/objects/" + object, body, headers);
    }
    Answer get(const std::string& object, const Headers& headers = {}) {
        return ask("GET", "/v1/objects/" + object, "", headers);
    }
    Answer list(const std::string& bucket, std::string_view value, bool is_msgpack = false) {
        const std::string message =
            R"({"action":"list","name":"","value":)" + std::string(value) + "}";
        Headers headers;
        if (is_msgpack) headers.emplace_back("Accept", "application/msgpack");
        return ask("GET", "/v1/buckets/" + bucket, message, headers);
    }
    static std::vector<std::string> names(const nlohmann::json& page) {
        std::vector<std::string> found;
        for (const auto& entry : page["entries"]) found.push_back(entry["name"]);
        return found;
    }

    static std::unique_ptr<Jobs> open_jobs(ObjectService& service, io::Reactor& reactor,
                                           io::BufferPool& buffers, io::Pool& pool,
                                           io::BlockingDisk& disk, const Log& log) {
        const JobsParts parts{&service, {&reactor},       &buffers,
                              &pool,    {{&disk, &pool}}, &reactor.clock()};
        JobsOptions options;
        options.promote_root = ::testing::TempDir() + "/door-promote";
        return *reactor.run_until_done(Jobs::open(parts, options, log));
    }
    // What a job that was started says of itself once its work is done.
    JobSnapshot finished(const std::string& id) {
        return reactor_.run_until_done(jobs_->wait(0, id, 1'000'000'000)).value_or(JobSnapshot());
    }

    io::SimWorld world_{1};
    io::Reactor reactor_{io::make_sim_kernel(world_), {}};
    io::BufferPool buffers_{1 << 20};
    FakeService service_{reactor_, buffers_};
    NodeIdentity node_{.node_id = "AbCd1234",
                       .cluster_uuid = "uVwXyZ123",
                       .http_address = "127.0.0.1:51080",
                       .version = "0.1.0",
                       .io_backend = "sim",
                       .data_path = "/data",
                       .host_name = "host",
                       .started_ns = 1'767'225'600'000'000'000,
                       .pid = 1,
                       .cores = 1};
    Log log_ = Log::quiet();
    io::MemoryStorage storage_;
    std::unique_ptr<io::BlockingDisk> disk_ = storage_.make_blocking_disk();
    std::unique_ptr<io::Pool> pool_ = io::make_inline_pool();
    std::unique_ptr<Jobs> jobs_ = open_jobs(service_, reactor_, buffers_, *pool_, *disk_, log_);
    Access access_{1};
    AisDoor door_{service_, *jobs_, node_, access_, reactor_};
};

}  // namespace penstock::node::testing
