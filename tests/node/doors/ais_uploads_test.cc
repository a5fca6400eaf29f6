// Multipart uploads and appends as AIStore's clients make them (contract, sections 7.6 and 11).
#include "tests/node/doors/door_test.h"

namespace penstock::node::testing {
namespace {

using ::testing::HasSubstr;

class AisUploadsTest : public DoorTest {
protected:
    void SetUp() override { create("b"); }

    std::string begin(const std::string& object) {
        const Answer begun = ask("POST", "/v1/objects/" + object, R"({"action":"mpt-upload"})");
        EXPECT_EQ(begun.status, 200);
        EXPECT_FALSE(begun.body.empty());
        return begun.body;
    }
    Answer part(const std::string& upload, const std::string& number, const std::string& bytes) {
        return put("b/o?uploadId=" + upload + "&partNumber=" + number, bytes);
    }
    Answer complete(const std::string& upload, const std::string& value) {
        return ask("POST", "/v1/objects/b/o?uploadId=" + upload,
                   R"({"action":"mpt-complete","name":"","value":)" + value + "}");
    }
    Answer abort(const std::string& upload) {
        return ask("DELETE", "/v1/objects/b/o?uploadId=" + upload, R"({"action":"mpt-abort"})");
    }
};

TEST_F(AisUploadsTest, ContentTypeAndMetadataOfTheBeginningAreKept) {
    const Answer begun = ask("POST", "/v1/objects/b/o", R"({"action":"mpt-upload"})",
                             {{"Content-Type", "image/png"}, {"Ais-Custom-Md", "colour=red"}});
    ASSERT_EQ(begun.status, 200);
    EXPECT_EQ(part(begun.body, "1", "x").status, 200);
    EXPECT_EQ(complete(begun.body, R"([{"part-number":1,"etag":""}])").status, 200);
    EXPECT_EQ(get("b/o").header("Content-Type"), "image/png");
    EXPECT_EQ(ask("HEAD", "/v1/objects/b/o").header("Ais-Custom-Md"), "colour=red");
    // What clients send with every JSON says nothing about the object.
    const Answer usual = ask("POST", "/v1/objects/b/o", R"({"action":"mpt-upload"})",
                             {{"Content-Type", "application/json"}});
    EXPECT_EQ(part(usual.body, "1", "x").status, 200);
    EXPECT_EQ(complete(usual.body, R"([{"part-number":1,"etag":""}])").status, 200);
    EXPECT_EQ(get("b/o").header("Content-Type"), "application/octet-stream");
    EXPECT_EQ(
        ask("POST", "/v1/objects/b/o", R"({"action":"mpt-upload"})", {{"Ais-Custom-Md", "no pair"}})
            .status,
        400);
}

TEST_F(AisUploadsTest, PartsInAnyOrderBecomeTheObject) {
    const std::string upload = begin("b/o");
    EXPECT_EQ(part(upload, "2", "world").status, 200);
    EXPECT_EQ(part(upload, "1", "hello ").status, 200);
    EXPECT_EQ(get("b/o").status, 404);
    const Answer completed =
        complete(upload, R"([{"part-number":2,"etag":""},{"part-number":1,"etag":""}])");
    EXPECT_EQ(completed.status, 200);
    EXPECT_EQ(completed.body, "");
    EXPECT_EQ(get("b/o").body, "hello world");
    const Answer head = ask("HEAD", "/v1/objects/b/o?props=chunked");
    EXPECT_EQ(head.header("Ais-Chunks-Count"), "2");
    EXPECT_EQ(head.header("Ais-Chunks-Max-Chunk-Size"), "6");
    put("b/whole", "x");
    EXPECT_EQ(ask("HEAD", "/v1/objects/b/whole?props=chunked").header("Ais-Chunks-Count"),
              "<absent>");
    const Answer listed =
        ask("GET", "/v1/buckets/b", R"({"action":"list","value":{"props":"name,size,chunked"}})");
    EXPECT_THAT(listed.body, HasSubstr("8256"));
    const Answer again = complete(upload, R"([{"part-number":1}])");
    EXPECT_EQ(again.status, 404);
    EXPECT_THAT(again.body, HasSubstr("does not exist"));
}

TEST_F(AisUploadsTest, WhatClientsLookForInTheTexts) {
    const std::string upload = begin("b/o");
    const Answer none = complete(upload, "[]");
    EXPECT_EQ(none.status, 400);
    EXPECT_THAT(none.body, HasSubstr("no chunks"));
    const Answer empty = part(upload, "1", "");
    EXPECT_EQ(empty.status, 400);
    EXPECT_THAT(empty.body, HasSubstr("invalid size (0)"));
    for (const char* number : {"0", "10000", "x", "-1", "", "99999999999999999999"}) {
        EXPECT_EQ(part(upload, number, "x").status, 400) << number;
    }
    EXPECT_EQ(part(upload, "1", "x").status, 200);
    const Answer twice = complete(upload, R"([{"part-number":1},{"part-number":1}])");
    EXPECT_EQ(twice.status, 400);
    EXPECT_THAT(twice.body, HasSubstr("partial completion"));
    for (const char* value : {"null", "{}", R"([1])", R"([{"part-number":-1}])",
                              R"([{"part-number":"1"}])", R"([{"part-number":4294967297}])"}) {
        EXPECT_EQ(complete(upload, value).status, 400) << value;
    }
    const Answer unknown = part("nonsense", "1", "x");
    EXPECT_EQ(unknown.status, 404);
    EXPECT_EQ(unknown.json()["tcode"], "ErrNotFound");
    EXPECT_THAT(unknown.body, HasSubstr("does not exist"));
    EXPECT_EQ(put("b/o?partNumber=1", "x").status, 400);
    EXPECT_EQ(ask("POST", "/v1/objects/b/o", R"({"action":"mpt-complete","value":[]})").status,
              400);
    const Answer nowhere = ask("POST", "/v1/objects/nope/o", R"({"action":"mpt-upload"})");
    EXPECT_EQ(nowhere.status, 404);
    EXPECT_EQ(nowhere.json()["tcode"], "ErrBckNotFound");
    // A refused completion does not end the upload.
    EXPECT_EQ(complete(upload, R"([{"part-number":1}])").status, 200);
}

TEST_F(AisUploadsTest, AnAbortedUploadIsGone) {
    const std::string upload = begin("b/o");
    EXPECT_EQ(part(upload, "1", "x").status, 200);
    EXPECT_EQ(abort(upload).status, 200);
    EXPECT_EQ(abort(upload).status, 404);
    EXPECT_EQ(part(upload, "1", "x").status, 404);
    EXPECT_EQ(get("b/o").status, 404);
}

TEST_F(AisUploadsTest, AppendsAreSeenAfterTheFlush) {
    put("b/o", "old,");
    const Answer first = put("b/o?append_type=append&append_handle=", "one,");
    EXPECT_EQ(first.status, 200);
    const std::string handle = first.header("Ais-Append-Handle");
    const Answer second = put("b/o?append_type=append&append_handle=" + handle, "two");
    EXPECT_EQ(get("b/o").body, "old,");
    const Answer flushed =
        put("b/o?append_type=flush&append_handle=" + second.header("Ais-Append-Handle"), "");
    EXPECT_EQ(flushed.status, 200);
    EXPECT_EQ(flushed.header("Ais-Append-Handle"), "<absent>");
    EXPECT_EQ(get("b/o").body, "old,one,two");
}

TEST_F(AisUploadsTest, BadAppends) {
    EXPECT_EQ(put("b/o?append_type=flush&append_handle=", "").status, 400);
    const Answer nonsense = put("b/o?append_type=append&append_handle=nonsense", "x");
    EXPECT_EQ(nonsense.status, 400);
    EXPECT_THAT(nonsense.body, HasSubstr("invalid APPEND handle"));
    EXPECT_EQ(put("b/o?append_type=nonsense&append_handle=", "x").status, 400);
    EXPECT_EQ(put("nope/o?append_type=append&append_handle=", "x").status, 404);
}

}  // namespace
}  // namespace penstock::node::testing
