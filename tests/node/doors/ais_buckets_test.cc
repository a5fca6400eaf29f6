#include "tests/node/doors/door_test.h"

namespace penstock::node::testing {
namespace {

using ::testing::HasSubstr;

class AisBucketsTest : public DoorTest {
protected:
    nlohmann::json properties(const std::string& bucket) {
        return nlohmann::json::parse(
            ask("HEAD", "/v1/buckets/" + bucket).header("Ais-Bucket-Props"), nullptr, false);
    }
    Answer patch(const std::string& bucket, const std::string& value) {
        return ask("PATCH", "/v1/buckets/" + bucket + "?provider=ais",
                   R"({"action":"set-bprops","name":"","value":)" + value + "}");
    }
};

TEST_F(AisBucketsTest, BucketIsCreatedOnceSeenAndDestroyed) {
    create("b");
    const Answer again = ask("POST", "/v1/buckets/b?provider=ais",
                             R"({"action":"create-bck","name":"","value":null})");
    EXPECT_EQ(again.status, 409);
    EXPECT_EQ(again.json()["tcode"], "ErrBucketAlreadyExists");
    EXPECT_THAT(again.body, HasSubstr(R"(bucket \"ais://b\" already exists)"));
    EXPECT_EQ(ask("HEAD", "/v1/buckets/b").status, 200);

    const std::string destroy = R"({"action":"destroy-bck","name":"","value":null})";
    EXPECT_EQ(ask("DELETE", "/v1/buckets/b", destroy).status, 200);
    const Answer gone = ask("DELETE", "/v1/buckets/b", destroy);
    EXPECT_EQ(gone.status, 404);
    EXPECT_EQ(gone.json()["tcode"], "ErrBckNotFound");
    EXPECT_THAT(ask("HEAD", "/v1/buckets/b").header("Hdr-Error"), HasSubstr("ais://b\\\" does"));
}

TEST_F(AisBucketsTest, NamesThatNoBucketCanHaveAreRefused) {
    const std::string message = R"({"action":"create-bck","name":"","value":null})";
    for (const std::string name : {"*", "%20", "bucket%20and%20name", "$badname", "~badname",
                                   "bucket/badname", "", ".hidden", "a..b", "%2e%2e"}) {
        SCOPED_TRACE(name);
        EXPECT_EQ(ask("POST", "/v1/buckets/" + name + "?provider=ais", message).status, 400);
    }
    EXPECT_EQ(ask("POST", "/v1/buckets/" + std::string(64, 'a'), message).status, 200);
    EXPECT_EQ(ask("POST", "/v1/buckets/" + std::string(65, 'a'), message).status, 400);
    const Answer nowhere = ask("POST", "/v1/buckets/x?provider=nonsense", message);
    EXPECT_EQ(nowhere.status, 400);
    EXPECT_EQ(nowhere.json()["tcode"], "ErrInvalidBackendProvider");
    EXPECT_EQ(ask("POST", "/v1/buckets/x?provider=gs", message).status, 501);
    EXPECT_EQ(ask("POST", "/v1/buckets/x?namespace=bad*ns", message).status, 400);
}

TEST_F(AisBucketsTest, ListOfBucketsIsSortedAndFiltered) {
    EXPECT_EQ(ask("GET", "/v1/buckets?provider=").json(), nlohmann::json::array());
    create("b");
    create("a");
    create("n?namespace=@%23space");
    const auto listed = [&](const std::string& query, const std::string& name) {
        return ask("GET", "/v1/buckets" + query,
                   R"({"action":"list","name":")" + name + R"(","value":null})")
            .json();
    };
    const auto all = listed("?provider=ais", "");
    ASSERT_EQ(all.size(), 3);
    EXPECT_EQ(all[0].dump(), R"({"name":"a","namespace":{"name":"","uuid":""},"provider":"ais"})");
    EXPECT_EQ(listed("?presence=2", "b").size(), 1);
    EXPECT_EQ(listed("?presence=2&provider=ais", "nope").size(), 0);
    EXPECT_EQ(listed("?namespace=@%23space", "").size(), 1);
    EXPECT_EQ(listed("?provider=ais&namespace=@@%23", "").size(), 0);
    const Answer cloud = ask("GET", "/v1/buckets?provider=aws", R"({"action":"list"})");
    EXPECT_EQ(cloud.status, 400);
    EXPECT_EQ(cloud.json()["tcode"], "ErrMissingBackend");
}

TEST_F(AisBucketsTest, PropertiesAreWholeAndChangePartByPart) {
    create("b", R"({"checksum":{"type":"sha256"}})");
    auto shown = properties("b");
    for (const char* group : {"backend_bck", "write_policy", "checksum", "extra", "rate_limit",
                              "ec", "chunks", "mirror", "lru", "versioning"}) {
        EXPECT_TRUE(shown[group].is_object()) << group;
    }
    EXPECT_EQ(shown["checksum"]["type"], "sha256");
    EXPECT_EQ(shown["access"], "18446744073709551615");
    EXPECT_EQ(shown["durability"], "group");
    EXPECT_EQ(shown["provider"], "ais");

    EXPECT_EQ(patch("b", R"({"checksum":{"type":"md5"},"versioning":{"enabled":false}})").status,
              200);
    EXPECT_EQ(patch("b", R"({"durability":"none","lru":{"dont_evict_time":"3h"}})").status, 200);
    EXPECT_EQ(patch("b", R"({"access":"771","extra":{"custom":"tag"},"mirror":null})").status, 200);
    shown = properties("b");
    EXPECT_EQ(shown["checksum"]["type"], "md5");
    EXPECT_EQ(shown["checksum"]["validate_cold_get"], false);
    EXPECT_EQ(shown["versioning"]["enabled"], false);
    EXPECT_EQ(shown["durability"], "none");
    EXPECT_EQ(shown["lru"]["dont_evict_time"], "3h");
    EXPECT_EQ(shown["lru"]["batch_size"], 32768);
    EXPECT_EQ(shown["extra"]["custom"], "tag");
    EXPECT_EQ(shown["access"], "771");

    EXPECT_EQ(ask("PATCH", "/v1/buckets/b", R"({"action":"reset-bprops","value":null})").status,
              200);
    shown = properties("b");
    EXPECT_EQ(shown["checksum"]["type"], "xxhash2");
    EXPECT_EQ(shown["durability"], "group");
    EXPECT_EQ(shown["lru"]["dont_evict_time"], "2h0m");
}

TEST_F(AisBucketsTest, BothNamesOfOneDigestAreKept) {
    create("b", R"({"checksum":{"type":"xxhash"}})");
    EXPECT_EQ(properties("b")["checksum"]["type"], "xxhash");
    EXPECT_EQ(put("b/o", "checked").header("Ais-Checksum-Type"), "xxhash");
    EXPECT_EQ(patch("b", R"({"checksum":{"type":"xxhash2"}})").status, 200);
    EXPECT_EQ(get("b/o").header("Ais-Checksum-Type"), "xxhash2");
    EXPECT_EQ(patch("b", R"({"checksum":{"type":"none"}})").status, 200);
    EXPECT_EQ(put("b/o", "checked").header("Ais-Checksum-Type"), "<absent>");
}

TEST_F(AisBucketsTest, PropertiesThatAreWrongChangeNothing) {
    create("b");
    for (const std::string value :
         {R"({"checksum":{"type":"nonsense"}})", R"({"nonsense":1})",
          R"({"mirror":{"nonsense":1}})", R"({"mirror":{"copies":"two"}})",
          R"({"mirror":{"copies":-1}})", R"({"mirror":7})", R"({"access":"nonsense"})",
          R"({"access":5})", R"({"provider":"aws"})", R"({"write_policy":{"data":"never"}})",
          R"({"durability":"maybe"})", R"([])", R"({"extra":{"aws":{"nonsense":"x"}}})"}) {
        EXPECT_EQ(patch("b", value).status, 400) << value;
    }
    for (const std::string value : {R"({"mirror":{"enabled":true}})", R"({"ec":{"enabled":true}})",
                                    R"({"rate_limit":{"frontend":{"enabled":true}}})"}) {
        EXPECT_EQ(patch("b", value).status, 501) << value;
    }
    EXPECT_EQ(ask("PATCH", "/v1/buckets/b", R"({"action":"nonsense"})").status, 400);
    EXPECT_EQ(patch("nope", "{}").status, 404);
    EXPECT_EQ(ask("POST", "/v1/buckets/c", R"({"action":"create-bck","value":{"x":1}})").status,
              400);
    EXPECT_EQ(ask("HEAD", "/v1/buckets/c").status, 404);
}

TEST_F(AisBucketsTest, SummaryIsCountedInTheBackground) {
    create("b");
    for (int index = 0; index < 4; ++index) put("b/dir/o" + std::to_string(index), "twelve bytes");
    put("b/other", "");
    const auto summary = [&](const std::string& id, const std::string& prefix) {
        return ask("GET", "/v1/buckets/b?provider=ais",
                   R"({"action":"summary-bck","value":{"uuid":")" + id + R"(","prefix":")" +
                       prefix + R"(","cached":true,"present":true}})");
    };
    const Answer begun = summary("", "dir/");
    ASSERT_EQ(begun.status, 202);
    EXPECT_EQ(begun.body.size(), 9);
    const Answer done = summary(begun.body, "dir/");
    ASSERT_EQ(done.status, 200);
    const auto first = done.json()[0];
    EXPECT_EQ(first["ObjCount"]["obj_count_present"], "4");
    EXPECT_EQ(first["TotalSize"]["size_all_present_objs"], "48");
    EXPECT_EQ(first["ObjSize"]["obj_min_size"], 12);
    EXPECT_EQ(first["used_pct"], 0);
    EXPECT_EQ(first["is_present"], false);
    EXPECT_EQ(summary("nosuchid1", "").status, 404);
    EXPECT_EQ(ask("GET", "/v1/buckets/nope", R"({"action":"summary-bck","value":{}})").status, 404);
}

TEST_F(AisBucketsTest, HeadWithSummaryRemembersItsPrefix) {
    create("b");
    put("b/dir/o", "twelve bytes");
    put("b/other", "x");
    const Answer begun =
        ask("HEAD", "/v1/buckets/b/dir/o?provider=ais&presence=0&bsumm_remote=True");
    EXPECT_EQ(begun.status, 202);
    EXPECT_THAT(begun.header("Ais-Bucket-Props"), HasSubstr("\"provider\":\"ais\""));
    const Answer done =
        ask("HEAD", "/v1/buckets/b?provider=ais&presence=0&bsumm_remote=True&uuid=" +
                        begun.header("Ais-Xaction-Id"));
    EXPECT_EQ(done.status, 200);
    const auto summary = nlohmann::json::parse(done.header("Ais-Bucket-Summ"));
    EXPECT_EQ(summary["ObjCount"]["obj_count_present"], "1");
    EXPECT_EQ(summary["is_present"], true);
}

TEST_F(AisBucketsTest, ActionsAreKnownLaterOrWrong) {
    create("b");
    const auto status = [&](const std::string& method, const std::string& body) {
        return ask(method, "/v1/buckets/b?provider=ais", body).status;
    };
    for (const std::string action : {"etl-bck", "make-n-copies", "index-shard", "etl-listrange"}) {
        EXPECT_EQ(status("POST", R"({"action":")" + action + "\"}"), 501) << action;
    }
    EXPECT_EQ(status("DELETE", R"({"action":"evict-listrange","value":{"objnames":["a"]}})"), 400);
    EXPECT_EQ(status("POST", R"({"action":"prefetch-listrange","value":{"objnames":["a"]}})"), 400);
    EXPECT_EQ(status("DELETE", R"({"action":"evict-remote-bck"})"), 400);
    EXPECT_EQ(status("PUT", R"({"action":"archive"})"), 501);
    // Only remote buckets have inventories.
    EXPECT_EQ(status("POST", R"({"action":"create-inventory","value":{"name":"i"}})"), 400);
    EXPECT_EQ(status("DELETE", R"({"action":"destroy-inventory","name":"i"})"), 400);
    EXPECT_EQ(status("GET", R"({"action":"list","value":{"flags":"32768"}})"), 400);
    EXPECT_EQ(ask("GET", "/v1/buckets/b", R"({"action":"show-inventory","name":"i"})").body,
              "{}\n");
    for (const std::string method : {"GET", "POST", "PUT", "PATCH", "DELETE"}) {
        EXPECT_EQ(status(method, R"({"action":"nonsense"})"), 400) << method;
        EXPECT_EQ(status(method, "not json"), 400) << method;
        EXPECT_EQ(status(method, "[]"), 400) << method;
        EXPECT_EQ(status(method, R"({"action":5})"), 400) << method;
    }
    EXPECT_EQ(status("POST", ""), 400);
    EXPECT_EQ(status("POST", std::string(100'000, '[')), 400);
}

TEST_F(AisBucketsTest, EasyUrlsAreTheSameCalls) {
    EXPECT_EQ(ask("POST", "/ais/easy", R"({"action":"create-bck"})").status, 200);
    EXPECT_EQ(ask("PUT", "/ais/easy/dir/o", "by an easy URL").status, 200);
    EXPECT_EQ(ask("GET", "/ais/easy/dir/o").body, "by an easy URL");
    EXPECT_EQ(get("easy/dir/o").body, "by an easy URL");
    EXPECT_EQ(names(ask("GET", "/ais/easy").json()), std::vector<std::string>{"dir/o"});
    EXPECT_EQ(names(ask("GET", "/ais/easy?prefix=x").json()), std::vector<std::string>{});
    EXPECT_EQ(ask("GET", "/ais").json().size(), 1);
    EXPECT_EQ(ask("HEAD", "/ais/easy").status, 200);
    EXPECT_EQ(ask("PUT", "/ais/easy", "x").status, 400);
    EXPECT_EQ(ask("GET", "/gs").json()["tcode"], "ErrMissingBackend");
    EXPECT_EQ(ask("GET", "/gs/easy/o").status, 404);
    EXPECT_EQ(ask("GET", "/aws/easy/o").status, 400);
    EXPECT_EQ(ask("GET", "/ais/nope/o").json()["tcode"], "ErrBckNotFound");
    EXPECT_EQ(ask("DELETE", "/ais/easy/dir/o").status, 200);
}

}  // namespace
}  // namespace penstock::node::testing
