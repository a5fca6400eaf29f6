// RpcTest: asks the MessagePack-RPC door as a client would, without a socket. Messages are made and
// read by another library than the door's.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "io/memory_disk.h"
#include "io/pool.h"
#include "io/sim_kernel.h"
#include "node/doors/rpc/session.h"
#include "node/jobs/registry.h"
#include "tests/node/doors/fake_service.h"

namespace penstock::node::testing {

using nlohmann::json;

inline std::string packed(const json& value) {
    std::string text;
    json::to_msgpack(value, text);
    return text;
}

inline json binary(std::string_view bytes) {
    return json::binary(std::vector<uint8_t>(bytes.begin(), bytes.end()));
}

inline std::string text_of(const json& value) {
    return {value.get_binary().begin(), value.get_binary().end()};
}

struct Reply {
    json error;
    json result;
    int descriptor_count = 0;
    // The error's name, or "" for a result.
    std::string code() const { return error.is_null() ? "" : error.at(2).at("name"); }
};

class RpcTest : public ::testing::Test {
protected:
    void SetUp() override {
        const JobsParts parts{&service_,
                              {&reactor_},
                              &buffers_,
                              pool_.get(),
                              {{&disk_->blocking(), pool_.get()}},
                              &reactor_.clock()};
        jobs_ = *reactor_.run_until_done(Jobs::open(parts, {}, log_));
        context_.jobs = jobs_.get();
        open_session(true);
    }
    void TearDown() override {
        close_session();
        reactor_.run_until_done(jobs_->stop());
    }

    void open_session(bool passes_descriptors, Principal principal = {}) {
        session_ = std::make_unique<rpc::Session>(context_, passes_descriptors, principal, [] {});
    }
    void close_session() {
        if (session_ == nullptr) return;
        reactor_.run_until_done(session_->finish());
        session_.reset();
        passed_.clear();
    }

    // Whether the connection goes on; what was answered lies in `replies_`.
    bool take(std::string_view message) {
        const bool goes_on = session_->take(as_bytes(message));
        while (session_->call_count() > 0) reactor_.turn(0);
        gather();
        return goes_on;
    }
    void gather() {
        while (auto piece = session_->outbox().take()) {
            answered_ += as_text(piece->bytes.bytes());
            if (piece->passed.is_open()) passed_.push_back(std::move(piece->passed));
        }
    }
    std::vector<json> replies() {
        std::vector<json> all;
        rpc::Framer framer;
        std::string_view rest = answered_;
        while (!rest.empty()) {
            EXPECT_EQ(framer.look(as_bytes(rest)), rpc::Framer::State::whole);
            all.push_back(json::from_msgpack(rest.substr(0, framer.message_bytes())));
            rest.remove_prefix(framer.message_bytes());
        }
        answered_.clear();
        return all;
    }

    Reply call(const std::string& method, const json& arguments = json::object()) {
        const uint32_t id = ++last_id_;
        EXPECT_TRUE(take(packed(json::array({0, id, method, json::array({arguments})}))));
        const std::vector<json> all = replies();
        EXPECT_EQ(all.size(), 1U) << method;
        if (all.size() != 1) return {};
        EXPECT_EQ(all[0].at(0), 1);
        EXPECT_EQ(all[0].at(1), id);
        Reply reply{all[0].at(2), all[0].at(3)};
        check_declared(method, reply);
        return reply;
    }
    // What a reply holds is what rpc.describe says.
    static void check_declared(const std::string& method, const Reply& reply) {
        const rpc::Method* declared = rpc::find_method(method);
        if (declared == nullptr) return;
        if (!reply.error.is_null()) {
            EXPECT_TRUE(std::ranges::any_of(
                declared->errors,
                [&](rpc::Code code) { return static_cast<uint64_t>(code) == reply.error.at(0); }))
                << method << " does not declare " << reply.error;
            return;
        }
        for (const auto& [key, value] : reply.result.items()) {
            EXPECT_TRUE(std::ranges::any_of(declared->results,
                                            [&](const auto& field) { return field.name == key; }))
                << method << " does not declare the result \"" << key << "\"";
        }
    }

    void create(const std::string& bucket) {
        ASSERT_EQ(call("bucket.create", {{"bucket", bucket}}).code(), "");
    }
    Reply put(const std::string& name, std::string_view content) {
        return call("object.put", {{"bucket", "b"}, {"name", name}, {"data", binary(content)}});
    }
    std::string get(const std::string& name) {
        const Reply reply = call("object.get", {{"bucket", "b"}, {"name", name}});
        return reply.error.is_null() ? text_of(reply.result.at("data")) : reply.code();
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
                       .started_ns = 0,
                       .pid = 1,
                       .cores = 1};
    Log log_ = Log::quiet();
    std::unique_ptr<io::Pool> pool_ = io::make_inline_pool();
    io::MemoryStorage storage_;
    std::unique_ptr<io::Disk> disk_ = storage_.make_disk(reactor_, *pool_);
    std::unique_ptr<Jobs> jobs_;
    Access access_{1};
    rpc::Context context_{service_, node_, access_, reactor_, buffers_};
    std::unique_ptr<rpc::Session> session_;
    std::string answered_;
    std::vector<io::Descriptor> passed_;
    uint32_t last_id_ = 0;
};

}  // namespace penstock::node::testing
