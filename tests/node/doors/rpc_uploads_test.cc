// Objects in pieces, renames, and jobs over MessagePack-RPC.
#include "io/base/checksum.h"
#include "tests/node/doors/rpc_fixture.h"

namespace penstock::node::testing {
namespace {

class RpcUploadsTest : public RpcTest {
protected:
    void SetUp() override {
        RpcTest::SetUp();
        create("b");
    }
    std::string begin(const std::string& name) {
        const Reply begun = call("upload.begin", {{"bucket", "b"}, {"name", name}});
        EXPECT_EQ(begun.code(), "");
        return begun.result.value("upload", "");
    }
    Reply part(const std::string& upload, uint64_t number, std::string_view bytes) {
        return call("upload.part",
                    {{"upload", upload}, {"number", number}, {"data", binary(bytes)}});
    }
};

TEST_F(RpcUploadsTest, PartsBecomeTheObject) {
    const std::string upload = begin("dir/o");
    EXPECT_EQ(part(upload, 2, "world").code(), "");
    EXPECT_EQ(part(upload, 1, "hello ").code(), "");
    EXPECT_EQ(get("dir/o"), "not_found");
    const Reply completed = call("upload.complete", {{"upload", upload}});
    EXPECT_EQ(completed.code(), "");
    EXPECT_EQ(completed.result.at("size"), 11);
    EXPECT_EQ(get("dir/o"), "hello world");
    EXPECT_EQ(call("upload.complete", {{"upload", upload}}).code(), "not_found");
    EXPECT_EQ(part(upload, 1, "x").code(), "not_found");
}

TEST_F(RpcUploadsTest, MetadataComesWithTheBeginningAndConditionsWithTheEnd) {
    const Reply begun =
        call("upload.begin", {{"bucket", "b"}, {"name", "o"}, {"metadata", {{"colour", "red"}}}});
    const std::string upload = begun.result.value("upload", "");
    EXPECT_EQ(part(upload, 1, "x").code(), "");
    const auto complete = [&](const json& more) {
        json arguments = {{"upload", upload}};
        arguments.update(more);
        return call("upload.complete", arguments);
    };
    EXPECT_EQ(complete({{"if_version", "1-1"}}).code(), "condition_failed");
    EXPECT_EQ(complete({{"if_version", "nonsense"}}).code(), "invalid");
    EXPECT_EQ(complete({{"if_version", "1-1"}, {"if_absent", true}}).code(), "invalid");
    EXPECT_EQ(complete({{"if_absent", true}}).code(), "");
    const Reply found = call("object.stat", {{"bucket", "b"}, {"name", "o"}});
    EXPECT_EQ(found.result.at("metadata"), json({{"colour", "red"}}));
    EXPECT_EQ(
        call("upload.begin", {{"bucket", "b"}, {"name", "o"}, {"metadata", {{"k", 1}}}}).code(),
        "invalid");
}

TEST_F(RpcUploadsTest, PartThatCameOtherwiseThanItWasSentIsRefused) {
    const std::string upload = begin("o");
    const auto with_crc = [&](uint32_t crc) {
        return call("upload.part",
                    {{"upload", upload}, {"number", 1}, {"data", binary("x")}, {"crc32c", crc}});
    };
    EXPECT_EQ(with_crc(crc32c(as_bytes("x")) ^ 1).code(), "invalid");
    EXPECT_EQ(with_crc(crc32c(as_bytes("x"))).code(), "");
}

TEST_F(RpcUploadsTest, WhatIsWrongWithAnUpload) {
    const std::string upload = begin("o");
    EXPECT_EQ(part(upload, 0, "x").code(), "invalid");
    EXPECT_EQ(part(upload, 10'001, "x").code(), "invalid");
    EXPECT_EQ(part(upload, 1, std::string((1 << 20) + 1, 'x')).code(), "too_large");
    EXPECT_EQ(call("upload.complete", {{"upload", upload}}).code(), "invalid");
    EXPECT_EQ(part(upload, 1, "x").code(), "");
    for (const json& parts : {json::array({"1"}), json::array({1, 1}), json::array({-1}),
                              json::array({json::array()}), json::array({1ULL << 40})}) {
        EXPECT_EQ(call("upload.complete", {{"upload", upload}, {"parts", parts}}).code(), "invalid")
            << parts;
    }
    for (const std::string& id : {std::string(), std::string("x"), upload + "x",
                                  std::string("x@b/o"), std::string("@"), std::string("x@b")}) {
        EXPECT_EQ(part(id, 1, "x").code(), "not_found") << id;
        EXPECT_EQ(call("upload.abort", {{"upload", id}}).code(), "not_found") << id;
    }
    EXPECT_EQ(part("x@nope/o", 1, "x").code(), "bucket_not_found");
    EXPECT_EQ(call("upload.begin", {{"bucket", "nope"}, {"name", "o"}}).code(), "bucket_not_found");
    EXPECT_EQ(call("upload.abort", {{"upload", upload}}).code(), "");
    EXPECT_EQ(call("upload.abort", {{"upload", upload}}).code(), "not_found");
}

TEST_F(RpcUploadsTest, AppendsAreSeenAfterTheFlush) {
    put("o", "old ");
    const json object{{"bucket", "b"}, {"name", "o"}};
    json arguments = object;
    arguments["data"] = binary("one ");
    const Reply first = call("object.append", arguments);
    EXPECT_EQ(first.code(), "");
    EXPECT_EQ(get("o"), "old ");
    arguments["handle"] = first.result.at("handle");
    arguments["data"] = binary("two");
    arguments["flush"] = true;
    const Reply last = call("object.append", arguments);
    EXPECT_EQ(last.code(), "");
    EXPECT_EQ(last.result.at("handle"), "");
    EXPECT_EQ(last.result.at("size"), 11);
    EXPECT_EQ(get("o"), "old one two");
    arguments["handle"] = "nonsense";
    EXPECT_EQ(call("object.append", arguments).code(), "invalid");
}

TEST_F(RpcUploadsTest, ARenamedObjectHasItsNewName) {
    put("o", "content");
    EXPECT_EQ(call("object.rename", {{"bucket", "b"}, {"name", "o"}, {"to", "n"}}).code(), "");
    EXPECT_EQ(get("n"), "content");
    EXPECT_EQ(get("o"), "not_found");
    EXPECT_EQ(call("object.rename", {{"bucket", "b"}, {"name", "o"}, {"to", "x"}}).code(),
              "not_found");
    EXPECT_EQ(call("object.rename", {{"bucket", "nope"}, {"name", "o"}, {"to", "x"}}).code(),
              "bucket_not_found");
}

TEST_F(RpcUploadsTest, JobsAreListedWaitedForAndStopped) {
    put("o", "content");
    JobSpec spec;
    spec.kind = JobKind::delete_objects;
    spec.bucket.name = "b";
    const auto started = reactor_.run_until_done(jobs_->start(0, spec));
    ASSERT_TRUE(started) << started.error().context;
    const Reply waited = call("job.wait", {{"job", *started}, {"timeout_s", 5}});
    EXPECT_EQ(waited.code(), "");
    EXPECT_EQ(waited.result.at("state"), "done");
    EXPECT_EQ(waited.result.at("kind"), "delete_objects");
    EXPECT_EQ(waited.result.at("objects"), 1);
    EXPECT_EQ(get("o"), "not_found");
    const Reply listed = call("job.list", {{"kind", "delete_objects"}});
    ASSERT_EQ(listed.result.at("jobs").size(), 1U);
    EXPECT_EQ(listed.result.at("jobs")[0].at("job"), *started);
    EXPECT_EQ(call("job.list", {{"active", true}}).result.at("jobs").size(), 0U);
    EXPECT_EQ(call("job.list", {{"kind", "promote"}}).result.at("jobs").size(), 0U);
    EXPECT_EQ(call("job.list", {{"kind", "nonsense"}}).code(), "invalid");
    EXPECT_EQ(call("job.status", {{"job", *started}}).result.at("state"), "done");
    EXPECT_EQ(call("job.stop", {{"job", *started}}).code(), "");
    for (const char* method : {"job.status", "job.stop", "job.wait"}) {
        EXPECT_EQ(call(method, {{"job", "nonsense"}}).code(), "not_found") << method;
        EXPECT_EQ(call(method, {{"job", ""}}).code(), "not_found") << method;
    }
    EXPECT_EQ(call("job.wait", {{"job", *started}, {"timeout_s", -1}}).code(), "invalid");
}

}  // namespace
}  // namespace penstock::node::testing
