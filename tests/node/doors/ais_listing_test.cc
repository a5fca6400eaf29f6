#include "tests/node/doors/door_test.h"
#include "tests/node/doors/tar_maker.h"

namespace penstock::node::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class AisListingTest : public DoorTest {
protected:
    void SetUp() override {
        create("lst");
        for (const std::string name : {"d/1", "d/2", "d/sub/3", "e/4"}) put("lst/" + name, "x");
        for (size_t index = 0; index < 5; ++index) {
            put("lst/o" + std::to_string(index), std::string(index + 1, 'x'));
        }
        put("lst/shard.tar", make_tar({{"b.jpg", "pixels of b"},
                                       {"a.cls", "1"},
                                       {"a.jpg", "pixels of a"},
                                       {"b.cls", "1"},
                                       {"sub/c.jpg", "pixels of c"}}));
    }
    // Every page of a listing, by its tokens.
    std::vector<std::string> walk(const std::string& bucket, nlohmann::json value) {
        std::vector<std::string> all;
        for (int pages = 0; pages < 1000; ++pages) {
            const auto page = list(bucket, value.dump()).json();
            for (const std::string& name : names(page)) all.push_back(name);
            value["uuid"] = page["uuid"];
            value["continuation_token"] = page["continuation_token"];
            if (page["continuation_token"] == "") return all;
        }
        ADD_FAILURE() << "the listing does not end";
        return all;
    }
};

TEST_F(AisListingTest, MessagePackIsWhatTheContractShows) {
    create("one");
    put("one/a", "abc");
    const Answer answer = list("one", R"({"uuid":"aBcDeFgHi"})", true);
    EXPECT_EQ(answer.header("Content-Type"), "application/msgpack");
    const std::string expected =
        "84 A455554944A9614263446546674869 B1436F6E74696E756174696F6E546F6B656EA0 "
        "A7456E7472696573DD00000001 83 A16EA161 A17303 A16640 A5466C61677300";
    std::string compact;
    for (const char letter : expected) {
        if (letter != ' ') compact += static_cast<char>(std::tolower(letter));
    }
    EXPECT_EQ(hex_from_bytes(as_bytes(answer.body)), compact);
}

TEST_F(AisListingTest, MessagePackHoldsLongNamesAndLargeSizes) {
    create("long");
    std::vector<std::string> expected;
    for (const size_t size : {1uz, 31uz, 32uz, 255uz, 256uz, 1024uz, 4096uz}) {
        expected.push_back(std::string(size, 'n'));
        put("long/" + expected.back(), std::string(size * 70, 'x'));
    }
    const Answer answer = list("long", "{}", true);
    const auto page = nlohmann::json::from_msgpack(answer.body);
    ASSERT_EQ(page["Entries"].size(), expected.size());
    for (size_t index = 0; index < expected.size(); ++index) {
        EXPECT_EQ(page["Entries"][index]["n"], expected[index]);
        EXPECT_EQ(page["Entries"][index]["s"], expected[index].size() * 70);
    }
}

TEST_F(AisListingTest, PageLargerThanOneBufferArrivesWhole) {
    create("wide");
    for (int index = 0; index < 600; ++index) {
        put("wide/" + std::to_string(1000 + index) + std::string(4000, 'n'), "");
    }
    const Answer answer = list("wide", "{}", true);
    ASSERT_GT(answer.body.size(), 2'000'000);
    EXPECT_EQ(nlohmann::json::from_msgpack(answer.body)["Entries"].size(), 600);
    EXPECT_EQ(list("wide", "{}").json()["entries"].size(), 600);
}

TEST_F(AisListingTest, PagesFollowEachOtherByTokens) {
    const auto first = list("lst", R"({"pagesize":4})").json();
    EXPECT_THAT(names(first), ElementsAre("d/1", "d/2", "d/sub/3", "e/4"));
    EXPECT_EQ(first["continuation_token"], "e/4");
    EXPECT_EQ(first["uuid"].get<std::string>().size(), 9);
    const auto all = walk("lst", {{"pagesize", 4}});
    EXPECT_THAT(all, ElementsAre("d/1", "d/2", "d/sub/3", "e/4", "o0", "o1", "o2", "o3", "o4",
                                 "shard.tar"));
    EXPECT_EQ(walk("lst", {{"pagesize", 1}}), all);
    EXPECT_EQ(walk("lst", {{"pagesize", 5}}), all) << "a last page that is just full";
    EXPECT_EQ(list("lst", R"({"uuid":"nonsense1","pagesize":2})").json()["uuid"], "nonsense1");
    EXPECT_THAT(names(list("lst", R"({"start_after":"o2"})").json()),
                ElementsAre("o3", "o4", "shard.tar"));
    EXPECT_THAT(names(list("lst", R"({"prefix":"d/*"})").json()),
                ElementsAre("d/1", "d/2", "d/sub/3"));
}

TEST_F(AisListingTest, ColumnsAreThoseThatWereAsked) {
    const auto entry = [&](const std::string& value) {
        return list("lst", value).json()["entries"][0];
    };
    EXPECT_EQ(entry("{}").dump(), R"({"flags":64,"name":"d/1","size":"1"})");
    EXPECT_EQ(entry(R"({"props":"name"})").dump(), R"({"flags":64,"name":"d/1"})");
    EXPECT_EQ(entry(R"({"props":"nonsense"})").dump(), R"({"flags":64,"name":"d/1"})");
    EXPECT_EQ(entry(R"({"flags":"16","props":"name,size"})").dump(),
              R"({"flags":64,"name":"d/1"})");
    EXPECT_EQ(entry(R"({"flags":"32","props":"version"})").dump(),
              R"({"flags":64,"name":"d/1","size":"1"})");
    const auto cached = entry(R"({"flags":"1"})");
    EXPECT_EQ(cached["checksum"], "5c80c09683041123");
    EXPECT_EQ(cached["atime"], "01 Jan 26 00:00 UTC");

    ask("PATCH", "/v1/objects/lst/d/1", R"({"value":{"k1":"v1","k2":"v2"}})");
    const auto full = entry(
        R"({"props":"name,size,version,checksum,atime,cached,status,copies,ec,custom,location",)"
        R"("time_format":"2006-01-02T15:04:05Z07:00"})");
    EXPECT_EQ(full["custom-md"], "[k1:v1 k2:v2]");
    EXPECT_EQ(full["version"], "1");
    EXPECT_EQ(full["copies"], 1);
    EXPECT_THAT(full["location"].get<std::string>(), HasSubstr("t[AbCd1234]:mp[/data"));
    EXPECT_THAT(full["atime"].get<std::string>(), HasSubstr("2026-01-01T00:00:0"));

    const auto packed = nlohmann::json::from_msgpack(
        list("lst", R"({"prefix":"d/1","props":"name,custom,copies,version"})", true).body);
    EXPECT_EQ(packed["Entries"][0].dump(),
              R"({"c":1,"f":64,"m":"[k1:v1 k2:v2]","n":"d/1","v":"1"})");
}

TEST_F(AisListingTest, WithoutRecursionDirectoriesComeOnce) {
    const auto listed = [&](const std::string& prefix) {
        return names(list("lst", R"({"flags":"10240","prefix":")" + prefix + "\"}").json());
    };
    EXPECT_THAT(listed(""), ElementsAre("d/", "e/", "o0", "o1", "o2", "o3", "o4", "shard.tar"));
    EXPECT_THAT(listed("d/"), ElementsAre("d/1", "d/2", "d/sub/"));
    EXPECT_THAT(listed("d"), ElementsAre("d/1", "d/2", "d/sub/")) << "a directory's name is enough";
    EXPECT_THAT(listed("o1"), ElementsAre("o1"));
    EXPECT_EQ(walk("lst", {{"flags", "2048"}, {"pagesize", 1}}), listed(""));
    EXPECT_EQ(walk("lst", {{"flags", "2048"}, {"pagesize", 1}, {"prefix", "d"}}), listed("d"));
    const auto directory = list("lst", R"({"flags":"2048"})").json()["entries"][0];
    EXPECT_EQ(directory.dump(), R"({"flags":256,"name":"d/"})");
}

TEST_F(AisListingTest, ShardsAreOpenedUpInOrder) {
    const auto page = list("lst", R"({"flags":"8","prefix":"shard.tar"})").json();
    const std::vector<std::string> all = names(page);
    EXPECT_THAT(all, ElementsAre("shard.tar", "shard.tar/a.cls", "shard.tar/a.jpg",
                                 "shard.tar/b.cls", "shard.tar/b.jpg", "shard.tar/sub/c.jpg"));
    EXPECT_EQ(page["entries"][0]["flags"], 576);
    EXPECT_EQ(page["entries"][2]["flags"], 192);
    EXPECT_EQ(page["entries"][2]["size"], "11");
    for (int size = 1; size <= 7; ++size) {
        EXPECT_EQ(walk("lst", {{"flags", "8"}, {"prefix", "shard"}, {"pagesize", size}}), all);
    }
    EXPECT_THAT(names(list("lst", R"({"flags":"8","prefix":"shard.tar/sub"})").json()), IsEmpty());
}

// "s.tar.gz" sorts before "s.tar/m" and must still come behind the members of s.tar.
TEST_F(AisListingTest, WhatSortsBetweenAShardAndItsMembersIsNotLost) {
    create("mix");
    put("mix/s.tar", make_tar({{"m1", "1"}, {"m2", "2"}}));
    put("mix/s.tar.gz", "no gzip at all");
    put("mix/s.tar/own", "an object below the shard's name");
    put("mix/z", "z");
    for (int size : {1, 2, 3, 10}) {
        EXPECT_THAT(walk("mix", {{"flags", "8"}, {"pagesize", size}}),
                    ElementsAre("s.tar", "s.tar/m1", "s.tar/m2", "s.tar.gz", "s.tar/own", "z"))
            << size;
    }
}

TEST_F(AisListingTest, NamesThatAreNoUtf8DoNotStopTheListing) {
    create("odd");
    put("odd/a", "");
    put("odd/b%FF", "");
    put("odd/b%FF%22", "");
    put("odd/c", "");
    EXPECT_THAT(walk("odd", {{"pagesize", 1}}), ElementsAre("a", "b\uFFFD", "b\uFFFD\"", "c"));
    const Answer packed = list("odd", "{}", true);
    EXPECT_THAT(packed.body, HasSubstr("b\xFF"));
}

TEST_F(AisListingTest, WhatIsRefused) {
    EXPECT_EQ(list("lst", "null").status, 400);
    EXPECT_EQ(list("lst", "[]").status, 400);
    EXPECT_EQ(list("lst", R"({"pagesize":-1})").status, 400);
    EXPECT_EQ(list("lst", R"({"pagesize":"x"})").status, 400);
    EXPECT_EQ(list("lst", R"({"flags":"abc"})").status, 400);
    EXPECT_EQ(list("lst", R"({"flags":"512"})").status, 400);
    EXPECT_EQ(list("lst", R"({"flags":"6"})").status, 200);
    const Answer missing = list("nope", "{}");
    EXPECT_EQ(missing.status, 404);
    EXPECT_EQ(missing.json()["tcode"], "ErrBckNotFound");
    EXPECT_EQ(ask("GET", "/v1/buckets/lst").json()["entries"].size(), 10) << "no body at all";
}

}  // namespace
}  // namespace penstock::node::testing
