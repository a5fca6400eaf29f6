// object.get_many, descriptors and leases.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/node/doors/rpc_fixture.h"

namespace penstock::node::testing {
namespace {

size_t open_descriptor_count() {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        (void)entry;
        ++count;
    }
    return count;
}

class RpcBatchTest : public RpcTest {
protected:
    void SetUp() override {
        RpcTest::SetUp();
        create("b");
    }
    static json items(const std::vector<std::string>& names) {
        json all = json::array();
        for (const std::string& name : names) all.push_back({{"bucket", "b"}, {"name", name}});
        return all;
    }
    static std::string slice(const json& result, size_t entry) {
        const json& one = result.at("entries").at(entry);
        return text_of(result.at("data")).substr(one.at("offset"), one.at("length"));
    }
    std::string content_of(const io::Descriptor& descriptor) {
        struct stat status{};
        EXPECT_EQ(::fstat(descriptor.get(), &status), 0);
        std::string text(static_cast<size_t>(status.st_size), '\0');
        EXPECT_EQ(::pread(descriptor.get(), text.data(), text.size(), 0), status.st_size);
        return text;
    }
};

TEST_F(RpcBatchTest, AnswersInTheOrderOfTheRequest) {
    std::vector<std::string> names;
    for (int index = 0; index < 700; ++index) {
        names.push_back("o" + std::to_string(index));
        put(names.back(), "content " + std::to_string(index));
    }
    const json result = call("object.get_many", {{"items", items(names)}}).result;
    ASSERT_EQ(result["entries"].size(), names.size());
    uint64_t offset = 0;
    for (size_t index = 0; index < names.size(); ++index) {
        EXPECT_EQ(result["entries"][index]["index"], index);
        EXPECT_EQ(result["entries"][index]["offset"], offset);
        EXPECT_EQ(slice(result, index), "content " + std::to_string(index));
        offset += slice(result, index).size();
    }
}

TEST_F(RpcBatchTest, UnorderedItIsAsRead) {
    for (const char* name : {"a", "b", "c"}) put(name, name);
    const json result =
        call("object.get_many", {{"items", items({"a", "b", "c"})}, {"ordered", false}}).result;
    // The service lays objects out in the reverse of the order in which they came.
    EXPECT_EQ(text_of(result["data"]), "cba");
    EXPECT_EQ(result["entries"][0]["index"], 2);
    EXPECT_EQ(result["entries"][0]["offset"], 0);
}

TEST_F(RpcBatchTest, RangesAreOfEachItem) {
    put("a", "0123456789");
    json list = items({"a", "a", "a"});
    list[1]["offset"] = 3;
    list[1]["length"] = 2;
    list[2]["offset"] = 100;
    const json result = call("object.get_many", {{"items", list}}).result;
    EXPECT_EQ(slice(result, 1), "34");
    EXPECT_EQ(slice(result, 2), "");
}

TEST_F(RpcBatchTest, WhatIsMissingIsAnErrorOrIsSkipped) {
    put("a", "1");
    put("c", "3");
    json list = items({"a", "b", "c"});
    const Reply failed = call("object.get_many", {{"items", list}});
    EXPECT_EQ(failed.code(), "not_found");
    EXPECT_EQ(failed.error[2]["item"], 1);
    list[0]["bucket"] = "nowhere";
    const json result = call("object.get_many", {{"items", list}, {"on_missing", "skip"}}).result;
    EXPECT_EQ(result["entries"][0]["error"][2]["name"], "bucket_not_found");
    EXPECT_EQ(result["entries"][1]["error"][2]["name"], "not_found");
    EXPECT_FALSE(result["entries"][2].contains("error"));
    EXPECT_EQ(slice(result, 2), "3");
    EXPECT_EQ(call("object.get_many", {{"items", list}, {"on_missing", "?"}}).code(), "invalid");
}

TEST_F(RpcBatchTest, BadItemsAreRefusedWithTheirNumber) {
    put("a", "1");
    const json bad[] = {1,
                        json::object(),
                        {{"bucket", "b"}},
                        {{"bucket", "b"}, {"name", 1}},
                        {{"bucket", "/"}, {"name", "a"}},
                        {{"bucket", "b"}, {"name", "a"}, {"offset", -1}},
                        {{"bucket", "b"}, {"name", "a"}, {"colour", 1}}};
    for (const json& item : bad) {
        json list = items({"a"});
        list.push_back(item);
        const Reply reply = call("object.get_many", {{"items", list}});
        EXPECT_EQ(reply.code(), "invalid") << item;
        EXPECT_EQ(reply.error[2]["item"], 1) << item;
    }
    EXPECT_EQ(call("object.get_many", {{"items", json::array()}}).result["entries"].size(), 0U);
    const json many(std::vector<int>(rpc::batch_items_max + 1, 1));
    EXPECT_EQ(call("object.get_many", {{"items", many}}).error[2]["limit"], "batch_items");
}

TEST_F(RpcBatchTest, TogetherTheyAreAtMostAMebibyte) {
    put("a", std::string(600'000, 'a'));
    EXPECT_EQ(call("object.get_many", {{"items", items({"a"})}}).code(), "");
    const Reply reply = call("object.get_many", {{"items", items({"a", "a"})}});
    EXPECT_EQ(reply.code(), "too_large");
    EXPECT_EQ(reply.error[2]["limit"], "value_bytes");
    put("half", std::string(512 << 10, 'h'));
    const json whole = call("object.get_many", {{"items", items({"half", "half"})}}).result;
    EXPECT_EQ(whole["data"].get_binary().size(), 1U << 20);
}

TEST_F(RpcBatchTest, ABatchComesAsSealedMemory) {
    put("a", "first");
    put("large", std::string(300'000, 'l'));
    json arguments = {{"items", items({"a", "large", "a"})}, {"as", "fd"}};
    const json result = call("object.get_many", arguments).result;
    ASSERT_EQ(passed_.size(), 1U);
    EXPECT_EQ(fcntl(passed_[0].get(), F_GET_SEALS),
              F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    EXPECT_EQ(content_of(passed_[0]), "first" + std::string(300'000, 'l') + "first");
    EXPECT_EQ(result["fd"], 0);
    EXPECT_EQ(result["size"], 300'010);
    EXPECT_EQ(result["entries"][2]["offset"], 300'005);
    EXPECT_EQ(context_.leased_bytes, 300'010U);
    EXPECT_EQ(call("lease.release", {{"lease", result["lease"]}}).code(), "");
    EXPECT_EQ(context_.leased_bytes, 0U);
    EXPECT_EQ(call("lease.release", {{"lease", result["lease"]}}).code(), "not_found");
}

TEST_F(RpcBatchTest, AClientThatDiesLeavesNothing) {
    put("a", std::string(100'000, 'a'));
    const size_t before = open_descriptor_count();
    for (int round = 0; round < 20; ++round) {
        for (int index = 0; index < 10; ++index) {
            call("object.get_many", {{"items", items({"a"})}, {"as", "fd"}});
            call("object.get", {{"bucket", "b"}, {"name", "a"}, {"as", "fd"}});
        }
        EXPECT_GT(context_.leased_bytes, 0U);
        close_session();
        EXPECT_EQ(context_.leased_bytes, 0U);
        open_session(true);
    }
    // What was answered and never sent goes, too.
    const std::string request = packed(json::array(
        {0, 1, "object.get_many", json::array({{{"items", items({"a"})}, {"as", "fd"}}})}));
    EXPECT_TRUE(session_->take(as_bytes(request)));
    close_session();
    EXPECT_EQ(open_descriptor_count(), before);
    EXPECT_EQ(buffers_.outstanding_count(), 0U);
}

TEST_F(RpcBatchTest, OneObjectComesAsMemoryOrAsItsFile) {
    put("small", "0123456789");
    json result =
        call("object.get",
             {{"bucket", "b"}, {"name", "small"}, {"as", "fd"}, {"offset", 2}, {"length", 3}})
            .result;
    ASSERT_EQ(passed_.size(), 1U);
    EXPECT_EQ(content_of(passed_[0]), "234");
    EXPECT_EQ(result["entries"][0]["length"], 3);

    const std::string large(2 << 20, 'l');
    service_.put_now({.name = "b"}, "large", large);
    result = call("object.get", {{"bucket", "b"}, {"name", "large"}, {"as", "fd"}, {"offset", 5}})
                 .result;
    ASSERT_EQ(passed_.size(), 2U);
    EXPECT_EQ(fcntl(passed_[1].get(), F_GETFL) & O_ACCMODE, O_RDONLY);
    EXPECT_EQ(content_of(passed_[1]), large) << "the whole file; the entry says which part";
    EXPECT_EQ(result["size"], 2 << 20);
    EXPECT_EQ(result["entries"][0]["offset"], 5);
    EXPECT_EQ(result["entries"][0]["length"], (2 << 20) - 5);
    EXPECT_EQ(call("object.get", {{"bucket", "b"}, {"name", "no"}, {"as", "fd"}}).code(),
              "not_found");
}

TEST_F(RpcBatchTest, OverTcpThereAreNoDescriptors) {
    put("a", "1");
    close_session();
    open_session(false);
    EXPECT_EQ(call("object.get", {{"bucket", "b"}, {"name", "a"}, {"as", "fd"}}).code(), "refused");
    EXPECT_EQ(call("object.get_many", {{"items", items({"a"})}, {"as", "fd"}}).code(), "refused");
    EXPECT_EQ(call("object.get", {{"bucket", "b"}, {"name", "a"}, {"as", "?"}}).code(), "invalid");
    EXPECT_EQ(call("object.get", {{"bucket", "b"}, {"name", "a"}, {"as", "bin"}}).code(), "");
}

TEST_F(RpcBatchTest, LeasesAreBounded) {
    put("a", "1");
    for (uint32_t index = 0; index < rpc::leases_max; ++index) {
        ASSERT_EQ(call("object.get", {{"bucket", "b"}, {"name", "a"}, {"as", "fd"}}).code(), "");
        passed_.clear();
    }
    EXPECT_EQ(call("object.get", {{"bucket", "b"}, {"name", "a"}, {"as", "fd"}}).code(), "busy");
    EXPECT_EQ(call("lease.release", {{"lease", 1}}).code(), "");
    EXPECT_EQ(call("object.get", {{"bucket", "b"}, {"name", "a"}, {"as", "fd"}}).code(), "");
}

}  // namespace
}  // namespace penstock::node::testing
