#include "tests/node/doors/door_test.h"
#include "tests/node/doors/tar_maker.h"

namespace penstock::node::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class AisObjectsTest : public DoorTest {
protected:
    void SetUp() override { create("b"); }
};

TEST_F(AisObjectsTest, PutIsThereWithItsChecksumAndFirstVersion) {
    const Answer stored = put("b/dir/o", "hello world");
    EXPECT_EQ(stored.status, 200);
    EXPECT_EQ(stored.header("Ais-Version"), "1");
    EXPECT_EQ(stored.header("Ais-Checksum-Type"), "xxhash2");
    EXPECT_EQ(stored.header("Ais-Checksum-Value"), "45ab6734b21e6968");
    EXPECT_EQ(put("b/dir/o", "hello again").header("Ais-Version"), "2");

    const Answer read = get("b/dir/o?provider=ais");
    EXPECT_EQ(read.status, 200);
    EXPECT_EQ(read.body, "hello again");
    EXPECT_EQ(read.header("Content-Type"), "application/octet-stream");
    EXPECT_EQ(read.header("Ais-Checksum-Value"), "8375ff576dd91618");
    EXPECT_THAT(read.header("ETag"), ::testing::MatchesRegex("\"[0-9a-f]+-[0-9a-f]+\""));
    EXPECT_THAT(read.header("Last-Modified"), HasSubstr(" GMT"));
    EXPECT_EQ(read.header("Ais-Custom-Md"), "<absent>");
}

TEST_F(AisObjectsTest, TheContentTypeOfAnUploadIsGivenBack) {
    put("b/picture", "x", {{"Content-Type", "image/png"}});
    EXPECT_EQ(get("b/picture").header("Content-Type"), "image/png");
    EXPECT_EQ(get("b/picture", {{"Range", "bytes=0-0"}}).header("Content-Type"), "image/png");
    EXPECT_EQ(ask("HEAD", "/v1/objects/b/picture").header("Content-Type"), "image/png");
    EXPECT_EQ(get("b/picture").header("Ais-Custom-Md"), "content-type=image/png");
    // The SDK says this of everything.
    put("b/any", "x", {{"Content-Type", "application/json"}});
    EXPECT_EQ(get("b/any").header("Content-Type"), "application/octet-stream");
    EXPECT_EQ(get("b/any").header("Ais-Custom-Md"), "<absent>");
}

TEST_F(AisObjectsTest, NamesAreUnescapedOnceAndKeepTheirSlashes) {
    for (const auto& [escaped, name] : std::vector<std::pair<std::string, std::string>>{
             {"%25", "%"},
             {"%2525", "%25"},
             {"track%3Fname=lofi&v=1", "track?name=lofi&v=1"},
             {"a+b%20c", "a+b c"},
             {"%E4%BD%A0", "\u4f60"},
             {"/double//slash", "/double//slash"},
             {"not-utf8-%FF", "not-utf8-\xFF"}}) {
        SCOPED_TRACE(name);
        EXPECT_EQ(put("b/" + escaped, name).status, 200);
        EXPECT_EQ(get("b/" + escaped).body, name);
        const auto head = ask("HEAD", "/v1/objects/b/" + escaped);
        EXPECT_EQ(head.header("Ais-Name"), name);
    }
    EXPECT_EQ(get("b/double/slash").status, 404);
}

TEST_F(AisObjectsTest, NamesThatCannotBeStoredAreRefused) {
    for (const std::string name :
         {"a/../b", "..", ".", "ends-with-slash/", "~/x", "a/%2e%2e/b", "%00"}) {
        SCOPED_TRACE(name);
        const Answer answer = put("b/" + name, "x");
        EXPECT_EQ(answer.status, 400);
        EXPECT_EQ(answer.json()["tcode"], "errInvalidPath");
    }
    EXPECT_EQ(put("b/" + std::string(4096, 'n'), "x").status, 200);
    EXPECT_EQ(put("b/" + std::string(4097, 'n'), "x").status, 400);
    EXPECT_EQ(put("b/", "x").json()["message"],
              "URL 'v1/objects/b/' is too short: expected 4 items, got 3");
    const Answer broken = get("b/o%zz");
    EXPECT_EQ(broken.status, 400);
    EXPECT_TRUE(broken.closes);
}

TEST_F(AisObjectsTest, MissingThingsAreToldApartAsTheSdkDoes) {
    const Answer object = get("b/nope");
    EXPECT_EQ(object.status, 404);
    EXPECT_EQ(object.json()["tcode"], "ErrNotFound");
    EXPECT_EQ(object.json()["message"], "t[AbCd1234]: ais://b/nope does not exist");
    EXPECT_EQ(object.json()["status"], 404);

    const Answer bucket = put("nope/o", "x");
    EXPECT_EQ(bucket.status, 404);
    EXPECT_EQ(bucket.json()["tcode"], "ErrBckNotFound");
    EXPECT_THAT(bucket.body, HasSubstr(R"(bucket \"ais://nope\" does not exist)"));

    const Answer deleted = ask("DELETE", "/v1/objects/b/nope");
    EXPECT_EQ(deleted.status, 404);
    EXPECT_EQ(deleted.json()["message"], "ais://b/nope doesn't exist");
    EXPECT_FALSE(deleted.json().contains("tcode"));

    const Answer head = ask("HEAD", "/v1/objects/b/nope");
    EXPECT_EQ(head.status, 404);
    EXPECT_EQ(head.body, "");
    EXPECT_THAT(head.header("Hdr-Error"), HasSubstr("\"tcode\":\"ErrNotFound\""));

    const Answer cloud = get("b/o?provider=aws");
    EXPECT_EQ(cloud.status, 404);
    EXPECT_THAT(cloud.body, HasSubstr("s3://b,"));
}

TEST_F(AisObjectsTest, ChecksumsThatTheClientGivesAreVerified) {
    const auto put_with = [&](const std::string& type, const std::string& value) {
        return put("b/sum", "checked",
                   {{"Ais-Checksum-Type", type}, {"Ais-Checksum-Value", value}});
    };
    EXPECT_EQ(put_with("xxhash", "a5de6ee583303e14").status, 200);
    EXPECT_EQ(put_with("md5", "3793ea52a7be2d7deafd858fda50775c").status, 200);
    EXPECT_EQ(put_with("crc32c", "ca9b5f90").status, 200);
    EXPECT_EQ(put_with("none", "whatever").status, 200);
    EXPECT_EQ(put_with("", "00").status, 200);

    for (const auto& [type, value] :
         std::vector<std::pair<std::string, std::string>>{{"xxhash2", "0000000000000000"},
                                                          {"xxhash2", "A5DE6EE583303E14"},
                                                          {"xxhash2", "a5de6ee583303e"},
                                                          {"xxhash2", "zz"}}) {
        const Answer refused = put_with(type, value);
        EXPECT_EQ(refused.status, 400) << value;
        EXPECT_EQ(refused.json()["tcode"], "ErrBadCksum");
    }
    EXPECT_EQ(put_with("nonsense", "00").status, 400);
    EXPECT_EQ(get("b/sum").header("Ais-Version"), "5");
}

TEST_F(AisObjectsTest, RangesGiveExactlyTheirBytes) {
    put("b/o", "0123456789");
    for (const auto& [range, content, sent] :
         std::vector<std::array<std::string, 3>>{{"bytes=2-5", "2-5", "2345"},
                                                 {"bytes=5-", "5-9", "56789"},
                                                 {"bytes=-3", "7-9", "789"},
                                                 {"bytes=5-100", "5-9", "56789"},
                                                 {"bytes=-100", "0-9", "0123456789"}}) {
        const Answer answer = get("b/o", {{"Range", range}});
        EXPECT_EQ(answer.status, 206) << range;
        EXPECT_EQ(answer.header("Content-Range"), "bytes " + content + "/10");
        EXPECT_EQ(answer.header("Accept-Ranges"), "bytes");
        EXPECT_EQ(answer.body, sent);
        EXPECT_EQ(answer.header("Ais-Checksum-Value"), "3f5fc178a81867e7") << "of the whole";
    }
    for (const std::string range : {"bytes=10-", "bytes=5-2", "bytes=0-1,4-5", "bytes=x-y",
                                    "bytes=", "items=0-1", "bytes=-0"}) {
        const Answer answer = get("b/o", {{"Range", range}});
        EXPECT_EQ(answer.status, 416) << range;
        EXPECT_EQ(answer.header("Content-Range"), "bytes */10");
    }
    EXPECT_EQ(ask("HEAD", "/v1/objects/b/o", "", {{"Range", "bytes=2-5"}}).length_only, 10);
}

TEST_F(AisObjectsTest, RangesHaveTheirOwnChecksumWhereTheBucketSaysSo) {
    create("sums", R"({"checksum":{"enable_read_range":true}})");
    put("sums/o", "0123456789");
    const std::string whole = get("sums/o").header("Ais-Checksum-Value");
    const auto of_range = [&](const std::string& range) {
        const Answer answer = get("sums/o", {{"Range", range}});
        EXPECT_EQ(answer.status, 206);
        EXPECT_EQ(answer.header("Ais-Checksum-Type"), "xxhash2");
        return answer.header("Ais-Checksum-Value") + " " + answer.body;
    };
    EXPECT_EQ(of_range("bytes=2-5"), "33a7b76c1fe29f88 2345");
    EXPECT_EQ(of_range("bytes=0-"), whole + " 0123456789");
    // Another one is put between the two times that the bytes go by.
    service_.before_next_get([&] { service_.put_now({.name = "sums"}, "o", "abcdefghij"); });
    EXPECT_EQ(of_range("bytes=2-5"),
              get("sums/o", {{"Range", "bytes=2-5"}}).header("Ais-Checksum-Value") + " cdef");

    ask("PATCH", "/v1/buckets/sums",
        R"({"action":"set-bprops","value":{"checksum":{"type":"none"}}})");
    EXPECT_EQ(get("sums/o", {{"Range", "bytes=2-5"}}).header("Ais-Checksum-Value"), "<absent>");
    ask("PATCH", "/v1/buckets/sums", R"({"action":"reset-bprops"})");
    put("sums/o", "0123456789");
    EXPECT_EQ(of_range("bytes=2-5"), whole + " 2345");
}

// The size that a range was checked against and the bytes that are sent are of one version.
TEST_F(AisObjectsTest, RangeOfAnObjectThatIsOverwrittenMeanwhileIsOfOneVersion) {
    put("b/o", "0123456789");
    service_.before_next_get([&] { service_.put_now({.name = "b"}, "o", "abc"); });
    const Answer answer = get("b/o", {{"Range", "bytes=-2"}});
    EXPECT_EQ(answer.status, 206);
    EXPECT_EQ(answer.body, "bc");
    EXPECT_EQ(answer.header("Content-Range"), "bytes 1-2/3");
}

TEST_F(AisObjectsTest, ConditionsOfReadersHold) {
    put("b/o", "0123456789");
    const std::string etag = get("b/o").header("ETag");
    const std::string date = get("b/o").header("Last-Modified");
    const auto status = [&](const std::string& name, const std::string& value) {
        return get("b/o", {{name, value}}).status;
    };
    EXPECT_EQ(status("If-None-Match", etag), 304);
    EXPECT_EQ(status("If-None-Match", "W/" + etag), 304);
    EXPECT_EQ(status("If-None-Match", "*"), 304);
    EXPECT_EQ(status("If-None-Match", "\"x\", " + etag), 304);
    EXPECT_EQ(status("If-None-Match", "\"x\""), 200);
    EXPECT_EQ(status("If-Match", etag), 200);
    EXPECT_EQ(status("If-Match", "\"nonsense\""), 412);
    EXPECT_EQ(status("If-Modified-Since", date), 304);
    EXPECT_EQ(status("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"), 200);
    EXPECT_EQ(status("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"), 412);
    EXPECT_EQ(get("b/o", {{"Range", "bytes=0-1"}, {"If-Range", etag}}).status, 206);
    EXPECT_EQ(get("b/o", {{"Range", "bytes=0-1"}, {"If-Range", "\"old\""}}).body, "0123456789");
    EXPECT_EQ(ask("HEAD", "/v1/objects/b/o", "", {{"If-None-Match", etag}}).status, 304);
}

TEST_F(AisObjectsTest, ConditionsOfWritersHold) {
    const Headers if_absent{{"If-None-Match", "*"}};
    EXPECT_EQ(put("b/o", "first", if_absent).status, 200);
    const Answer refused = put("b/o", "second", if_absent);
    EXPECT_EQ(refused.status, 412);
    EXPECT_EQ(refused.json()["tcode"], "ErrPreconditionFailed");
    const std::string etag = get("b/o").header("ETag");
    EXPECT_EQ(put("b/o", "second", {{"If-Match", etag}}).status, 200);
    EXPECT_EQ(put("b/o", "third", {{"If-Match", etag}}).status, 412);
    EXPECT_EQ(put("b/o", "third", {{"If-Match", "\"nonsense\""}}).status, 412);
    EXPECT_EQ(put("b/o", "third", {{"If-Match", "*"}}).status, 200);
    EXPECT_EQ(put("b/new", "x", {{"If-Match", "*"}}).status, 412);
    EXPECT_EQ(put("b/o", "x", {{"If-None-Match", get("b/o").header("ETag")}}).status, 412);
    EXPECT_EQ(get("b/o").body, "third");
    EXPECT_EQ(ask("DELETE", "/v1/objects/b/o", "", {{"If-Match", etag}}).status, 412);
    EXPECT_EQ(
        ask("DELETE", "/v1/objects/b/o", "", {{"If-Match", get("b/o").header("ETag")}}).status,
        200);
    EXPECT_EQ(get("b/o").status, 404);
}

TEST_F(AisObjectsTest, HeadWithoutPropertiesSaysEverything) {
    put("b/dir/o", "0123456789");
    const Answer head = ask("HEAD", "/v1/objects/b/dir/o?provider=ais");
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(head.length_only, 10);
    EXPECT_EQ(head.header("Ais-Present"), "true");
    EXPECT_EQ(head.header("Ais-Name"), "dir/o");
    EXPECT_EQ(head.header("Ais-Bucket-Name"), "b");
    EXPECT_EQ(head.header("Ais-Mirror-Paths"), "[/data]");
    EXPECT_EQ(head.header("Ais-Mirror-Copies"), "1");
    EXPECT_THAT(head.header("Ais-Location"), HasSubstr("t[AbCd1234]:mp[/data"));
}

TEST_F(AisObjectsTest, HeadWithPropertiesSaysThoseAlone) {
    put("b/o", "0123456789");
    const auto head = [&](const std::string& query) {
        return ask("HEAD", "/v1/objects/b/o?" + query);
    };
    const Answer few = head("props=name%2Csize");
    EXPECT_EQ(few.length_only, 10);
    EXPECT_EQ(few.headers, "Ais-Present: true\r\n");
    const Answer copies = head("props=copies,version,chunked,ec");
    EXPECT_EQ(copies.header("Ais-Mirror-Paths"), "/data");
    EXPECT_EQ(copies.header("Ais-Version"), "1");
    EXPECT_EQ(copies.header("ETag"), "<absent>");
    EXPECT_NE(head("props=etag").header("ETag"), "<absent>");

    const Answer unknown = head("props=size,cached");
    EXPECT_EQ(unknown.status, 400);
    EXPECT_EQ(unknown.header("Ais-Present"), "true");
    EXPECT_THAT(unknown.header("Hdr-Error"), HasSubstr("cached"));

    EXPECT_EQ(head("presence=3").headers, "");
    EXPECT_EQ(head("presence=5").status, 400);
}

TEST_F(AisObjectsTest, CustomMetadataIsSetMergedAndReplaced) {
    const Answer stored = put("b/o", "x", {{"Ais-Custom-Md", "a=1"}, {"Ais-Custom-Md", "b=2=3"}});
    EXPECT_THAT(stored.headers, HasSubstr("Ais-Custom-Md: a=1\r\nAis-Custom-Md: b=2=3\r\n"));
    const auto patch = [&](const std::string& query, const std::string& value) {
        return ask("PATCH", "/v1/objects/b/o" + query,
                   R"({"action":"","name":"","value":)" + value + "}");
    };
    EXPECT_EQ(patch("", R"({"b":"","c":"3"})").status, 200);
    EXPECT_THAT(get("b/o").headers,
                HasSubstr("Ais-Custom-Md: a=1\r\nAis-Custom-Md: b=\r\nAis-Custom-Md: c=3\r\n"));
    EXPECT_EQ(patch("?set-new-custom=true", R"({"only":"me"})").status, 200);
    EXPECT_EQ(get("b/o").header("Ais-Custom-Md"), "only=me");
    EXPECT_EQ(get("b/o").header("Ais-Version"), "1");

    EXPECT_EQ(patch("", R"({"k":1})").status, 400);
    EXPECT_EQ(patch("", R"({"k\r\nX-Evil":"1"})").status, 400);
    EXPECT_EQ(patch("", R"({"":"1"})").status, 400);
    EXPECT_EQ(patch("", "\"text\"").status, 400);
    EXPECT_EQ(patch("", R"({"k":")" + std::string(20'000, 'v') + "\"}").status, 400);
    EXPECT_EQ(put("b/o", "x", {{"Ais-Custom-Md", "no-equals"}}).status, 400);
}

TEST_F(AisObjectsTest, MembersOfShardsAreRead) {
    put("b/s.tar", make_tar({{"a.jpg", "pixels of a"}, {"sub/c.jpg", "0123456789"}}));
    const auto member = [&](const std::string& query, const Headers& headers = {}) {
        return get("b/s.tar?" + query, headers);
    };
    const Answer whole = member("archpath=a.jpg&archregx=");
    EXPECT_EQ(whole.status, 200);
    EXPECT_EQ(whole.body, "pixels of a");
    EXPECT_THAT(whole.headers, Not(HasSubstr("Ais-")));
    EXPECT_EQ(member("archpath=/a.jpg").body, "pixels of a");
    EXPECT_EQ(member("archpath=s.tar/a.jpg").body, "pixels of a");
    const Answer part = member("archpath=sub%2Fc.jpg", {{"Range", "bytes=2-4"}});
    EXPECT_EQ(part.status, 206);
    EXPECT_EQ(part.body, "234");
    EXPECT_EQ(part.header("Content-Range"), "bytes 2-4/10");

    const Answer missing = member("archpath=nope");
    EXPECT_EQ(missing.status, 404);
    EXPECT_EQ(missing.json()["message"], "t[AbCd1234]: nope in ais://b/s.tar does not exist");
    EXPECT_EQ(member("archpath=../x").status, 400);
    EXPECT_EQ(member("archpath=a/%2e%2e/x").status, 400);
    EXPECT_EQ(member("archpath=a.jpg&archregx=x&archmode=prefix").status, 400);
    EXPECT_EQ(member("archregx=a&archmode=nonsense").status, 400);
    EXPECT_EQ(member("archregx=a&archmode=prefix").status, 501);
    EXPECT_EQ(member("archregx=a").body.size(), get("b/s.tar").body.size());
    EXPECT_EQ(member("archpath=").body.size(), get("b/s.tar").body.size());

    put("b/plain.txt", "no archive");
    EXPECT_EQ(get("b/plain.txt?archpath=a").status, 400);
}

TEST_F(AisObjectsTest, DamageOfAShardIsSaidToBeThat) {
    std::string shard = make_tar({{"a", "first"}, {"b", std::string(600, 'b')}});
    shard.resize(shard.size() - 1024 - 512);  // ends inside the second member
    put("b/s.tar", shard);
    EXPECT_EQ(get("b/s.tar?archpath=a").body, "first");
    const Answer behind = get("b/s.tar?archpath=b");
    EXPECT_EQ(behind.status, 422);
    EXPECT_EQ(behind.json()["tcode"], "ErrDamagedShard");
    const Answer listed = list("b", R"({"flags":"8"})");
    EXPECT_EQ(listed.status, 422);
    EXPECT_EQ(listed.json()["tcode"], "ErrDamagedShard");
    EXPECT_EQ(list("b", "{}").status, 200);

    service_.fail_next(Errc::corrupt);
    EXPECT_EQ(get("b/s.tar?archpath=a").json()["tcode"], "ErrCorrupted") << "bytes of the store";
}

TEST_F(AisObjectsTest, FailuresOfTheStoreHaveTheirStatusAndCode) {
    put("b/o", "x");
    for (const auto& [code, status, tcode] : std::vector<std::tuple<Errc, uint16_t, std::string>>{
             {Errc::corrupt, 500, "ErrCorrupted"},
             {Errc::io_error, 500, "ErrIO"},
             {Errc::unavailable, 503, "ErrBusy"}}) {
        service_.fail_next(code);
        const Answer answer = get("b/o");
        EXPECT_EQ(answer.status, status);
        EXPECT_EQ(answer.json()["tcode"], tcode);
    }
    service_.fail_next(Errc::unavailable);
    EXPECT_EQ(get("b/o").header("Retry-After"), "1");
    service_.fail_next(Errc::full);
    const Answer full = put("b/o", "y");
    EXPECT_EQ(full.status, 507);
    EXPECT_EQ(full.json()["tcode"], "ErrCapExceeded");
}

TEST_F(AisObjectsTest, AccessBitsBindAndAreNamed) {
    put("b/o", "x");
    ASSERT_EQ(
        ask("PATCH", "/v1/buckets/b", R"({"action":"set-bprops","value":{"access":"771"}})").status,
        200);
    EXPECT_EQ(get("b/o").status, 200);
    const Answer refused = put("b/o", "y");
    EXPECT_EQ(refused.status, 403);
    EXPECT_EQ(refused.json()["tcode"], "ErrBucketAccessDenied");
    EXPECT_THAT(refused.body, HasSubstr("PUT access denied (allowed: "
                                        "[GET,HEAD-OBJECT,HEAD-BUCKET,LIST-OBJECTS])"));
    EXPECT_EQ(ask("DELETE", "/v1/objects/b/o").status, 403);
    EXPECT_EQ(ask("DELETE", "/v1/buckets/b", R"({"action":"destroy-bck"})").status, 403);
}

TEST_F(AisObjectsTest, CopiesTakeContentAndMetadataAlong) {
    create("to");
    put("b/o", "content", {{"Ais-Custom-Md", "k=v"}});
    EXPECT_EQ(put("b/o?object_to=ais%2F%40%23%2Fto%2Fdir%2Fcopy", "").status, 200);
    EXPECT_EQ(get("to/dir/copy").body, "content");
    EXPECT_EQ(get("to/dir/copy").header("Ais-Custom-Md"), "k=v");
    EXPECT_EQ(put("b/nope?object_to=ais%2F%40%23%2Fto%2Fx", "").status, 404);
    const Answer missing = put("b/o?object_to=ais%2F%40%23%2Fnope%2Fx", "");
    EXPECT_EQ(missing.status, 404);
    EXPECT_EQ(missing.json()["tcode"], "ErrBckNotFound");
    EXPECT_EQ(put("b/o?object_to=nonsense", "").status, 400);
}

TEST_F(AisObjectsTest, WhatIsNotBuiltSaysSo) {
    put("b/o", "x");
    const auto tcode = [&](const Answer& answer) {
        return answer.status == 501 ? answer.json()["tcode"].get<std::string>() : "";
    };
    EXPECT_EQ(tcode(put("b/o.tar?archpath=m", "x")), "ErrNotImpl");
    EXPECT_EQ(tcode(get("b/o?etl_name=e")), "ErrNotImpl");
    EXPECT_EQ(ask("POST", "/v1/objects/b/o", R"({"action":"check-lock"})").status, 200);
    EXPECT_EQ(ask("POST", "/v1/objects/b/o", R"({"action":"nonsense"})").status, 400);
    EXPECT_EQ(ask("POST", "/v1/objects/b/o", "").status, 400);
}

TEST_F(AisObjectsTest, LargeObjectsComeInPieces) {
    std::string content(3'000'000, 'x');
    for (size_t at = 0; at < content.size(); at += 7) content[at] = static_cast<char>(at);
    put("b/large", content);
    EXPECT_EQ(get("b/large").body, content);
    EXPECT_EQ(get("b/large", {{"Range", "bytes=1000-2999998"}}).body,
              content.substr(1000, 2'998'999));
}

}  // namespace
}  // namespace penstock::node::testing
