// Jobs as AIStore's clients start, ask for and stop them (contract, sections 5.4, 7.9, 7.10, 8, 9).
#include <filesystem>
#include <fstream>

#include "tests/node/doors/door_test.h"

namespace penstock::node::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class AisJobsTest : public DoorTest {
protected:
    void SetUp() override {
        create("b");
        for (const char* name : {"a.txt", "d/1.txt", "d/2.txt", "o-1", "o-2", "o-3"}) {
            ASSERT_EQ(put(std::string("b/") + name, std::string("of ") + name).status, 200);
        }
    }
    Answer act(std::string_view method, const std::string& target, const std::string& action,
               const std::string& value = "null", const std::string& name = "") {
        return ask(
            method, target,
            R"({"action":")" + action + R"(","name":")" + name + R"(","value":)" + value + "}");
    }
    // The job's id, once it is done.
    std::string run(std::string_view method, const std::string& target, const std::string& action,
                    const std::string& value = "null") {
        const Answer answer = act(method, target, action, value);
        EXPECT_EQ(answer.status, 200) << answer.body;
        EXPECT_EQ(answer.header("Content-Type"), "text/plain; charset=utf-8");
        EXPECT_EQ(finished(answer.body).id, answer.body);
        return answer.body;
    }
    Answer query(const std::string& what, const std::string& body) {
        return ask("GET", "/v1/cluster?what=" + what, body);
    }
    nlohmann::json snapshot(const std::string& id) {
        return query("qryxstats", R"({"ID":")" + id + R"(","Kind":""})").json()["AbCd1234"][0];
    }
    std::vector<std::string> names_in(const std::string& bucket) {
        const Answer page = list(bucket, "{}");
        EXPECT_EQ(page.status, 200) << page.body;
        return names(page.json());
    }
};

TEST_F(AisJobsTest, DeletesByListAndTellsTheFirstMiss) {
    const std::string id = run("DELETE", "/v1/buckets/b?provider=ais", "delete-listrange",
                               R"({"objnames":["o-1","nope"],"num-workers":3,"coer":false})");
    EXPECT_THAT(names_in("b"), ElementsAre("a.txt", "d/1.txt", "d/2.txt", "o-2", "o-3"));
    const nlohmann::json status = query("status", R"({"id":")" + id + "\"}").json();
    EXPECT_EQ(status["kind"], "delete-listrange");
    EXPECT_EQ(status["err"], "t[AbCd1234]: ais://b/nope does not exist");
    EXPECT_GT(status["end_time"].get<uint64_t>(), 0U);
    EXPECT_EQ(status["aborted"], false);
    const nlohmann::json shot = snapshot(id);
    EXPECT_EQ(shot["bck"]["name"], "b");
    EXPECT_EQ(shot["ctlmsg"], "list:[o-1 nope]");
    EXPECT_EQ(shot["stats"]["loc-objs"], "1");
    EXPECT_EQ(shot["glob.id"], "3072");
    EXPECT_EQ(shot["is_idle"], true);
    EXPECT_EQ(shot["aborted"], false);
    EXPECT_THAT(shot["start-time"].get<std::string>(), StartsWith("2026-"));
}

TEST_F(AisJobsTest, DeletesByTemplatePrefixAndEverything) {
    const auto remove = [this](const std::string& value) {
        return run("DELETE", "/v1/buckets/b", "delete-listrange", value);
    };
    EXPECT_EQ(snapshot(remove(R"({"template":"o-{1..2}"})"))["err"], "");
    EXPECT_THAT(names_in("b"), ElementsAre("a.txt", "d/1.txt", "d/2.txt", "o-3"));
    remove(R"({"template":"d/"})");
    EXPECT_THAT(names_in("b"), ElementsAre("a.txt", "o-3"));
    remove("{}");
    EXPECT_THAT(names_in("b"), IsEmpty());
}

TEST_F(AisJobsTest, RefusesSelectionsThatCannotBe) {
    const auto refused = [this](const std::string& value) {
        return act("DELETE", "/v1/buckets/b", "delete-listrange", value);
    };
    const Answer backward = refused(R"({"template":"o-{5..2}"})");
    EXPECT_EQ(backward.status, 400);
    EXPECT_EQ(backward.json()["tcode"], "errTemplateInvalid");
    EXPECT_THAT(backward.json()["message"].get<std::string>(),
                HasSubstr("'start' cannot be greater than 'end'"));
    for (const char* value :
         {R"({"objnames":[1,2]})", R"({"objnames":"a"})", R"({"template":5})", "[]", "5",
          R"({"objnames":["../a"]})", R"({"objnames":["a"],"num-workers":"x"})",
          R"({"objnames":["a"],"num-workers":9999})", R"({"template":"a","non-recurs":1})"}) {
        EXPECT_EQ(refused(value).status, 400) << value;
    }
    EXPECT_EQ(act("DELETE", "/v1/buckets/nope", "delete-listrange", R"({"objnames":["x"]})").status,
              404);
    EXPECT_EQ(names_in("b").size(), 6U);
}

TEST_F(AisJobsTest, CopiesManyUnderEachRequestsOwnOptions) {
    const std::string id = run("POST", "/v1/buckets/b", "copy-listrange",
                               R"({"objnames":["o-1","nope"],"prepend":"p/","dry_run":false,)"
                               R"("tobck":{"name":"to","provider":"ais","namespace":null}})");
    EXPECT_THAT(id, StartsWith("tco-"));
    EXPECT_THAT(names_in("to"), ElementsAre("p/o-1"));
    // Its work is done, and it is alive for a while: the SDK looks for it among the running ones.
    EXPECT_THAT(query("running_all", "{}").body, HasSubstr("copy-listrange[" + id + "]"));
    nlohmann::json shot = snapshot(id);
    EXPECT_EQ(shot["end-time"], "0001-01-01T00:00:00Z");
    EXPECT_EQ(shot["is_idle"], true);
    EXPECT_EQ(shot["err"], "t[AbCd1234]: ais://b/nope does not exist");
    EXPECT_EQ(shot["src-bck"]["name"], "b");
    EXPECT_EQ(shot["dst-bck"]["name"], "to");
    EXPECT_EQ(query("status", R"({"ID":")" + id + "\"}").json()["is_idle"], true);

    EXPECT_EQ(act("PUT", "/v1/cluster", "stop", R"({"ID":")" + id + "\"}").status, 200);
    shot = snapshot(id);
    EXPECT_EQ(shot["aborted"], true);
    EXPECT_EQ(shot["abort-err"], "user abort");
    EXPECT_NE(shot["end-time"], "0001-01-01T00:00:00Z");
    EXPECT_EQ(query("running_all", "{}").json(), nlohmann::json::array());

    run("POST", "/v1/buckets/b", "copy-listrange",
        R"({"template":"o-{1..3}","dry_run":true,"tobck":{"name":"dry","provider":"ais"}})");
    EXPECT_EQ(ask("HEAD", "/v1/buckets/dry").status, 404);
    for (const char* value : {"{}", "null", R"({"tobck":{}})", R"({"tobck":{"name":"a/b"}})",
                              R"({"tobck":{"name":"x"},"ext":{"a":1}})",
                              R"({"tobck":{"name":"x"},"prepend":"p","synchronize":true})"}) {
        EXPECT_EQ(act("POST", "/v1/buckets/b", "copy-listrange", value).status, 400) << value;
    }
}

TEST_F(AisJobsTest, SynchronizesABucketWithItsSource) {
    create("copy");
    put("copy/gone", "x");
    run("POST", "/v1/buckets/b?bck_to=ais/@%23/copy/", "copy-bck", R"({"synchronize":true})");
    EXPECT_EQ(names_in("copy"), names_in("b"));
    EXPECT_EQ(act("POST", "/v1/buckets/b?bck_to=ais/@%23/copy/", "copy-bck",
                  R"({"synchronize":true,"prepend":"p/"})")
                  .status,
              400);
    // Deleting is another right than writing.
    ask("PATCH", "/v1/buckets/copy", R"({"action":"set-bprops","value":{"access":"4"}})");
    const std::string id = run("POST", "/v1/buckets/b?bck_to=ais/@%23/copy/", "copy-bck",
                               R"({"synchronize":true,"prefix":"d/"})");
    EXPECT_NE(snapshot(id)["abort-err"], "");
}

TEST_F(AisJobsTest, RechunksABucket) {
    for (const char* value : {R"({"objsize-limit":1,"chunk-size":1024,"prefix":"d/"})", "null",
                              R"({"objsize-limit":0})"}) {
        const std::string id = run("POST", "/v1/buckets/b", "rechunk", value);
        EXPECT_EQ(snapshot(id)["kind"], "rechunk");
        EXPECT_EQ(snapshot(id)["bck"]["name"], "b");
    }
    run("PUT", "/v1/cluster", "start", R"({"Kind":"rechunk","Bck":{"name":"b"}})");
    EXPECT_EQ(act("PUT", "/v1/cluster", "start", R"({"Kind":"rechunk"})").status, 400);
    EXPECT_EQ(act("POST", "/v1/buckets/nope", "rechunk", "{}").status, 404);
    for (const char* value :
         {R"({"objsize-limit":-1})", R"({"chunk-size":"1MiB"})", R"({"prefix":7})"}) {
        EXPECT_EQ(act("POST", "/v1/buckets/b", "rechunk", value).status, 400) << value;
    }
}

TEST_F(AisJobsTest, CopiesABucket) {
    const std::string id = run("POST", "/v1/buckets/b?provider=ais&bck_to=ais%2F%40%23%2Fcopy%2F",
                               "copy-bck", R"({"prefix":"d/","prepend":"p/","ext":{"txt":".md"}})");
    EXPECT_THAT(names_in("copy"), ElementsAre("p/d/1.md", "p/d/2.md"));
    EXPECT_EQ(get("copy/p/d/1.md").body, "of d/1.txt");
    const nlohmann::json shot = snapshot(id);
    EXPECT_EQ(shot["kind"], "copy-bck");
    EXPECT_EQ(shot["bck"]["name"], "copy");
    EXPECT_EQ(shot["ctlmsg"], "cp ais://b=>ais://copy");
    EXPECT_EQ(shot["stats"]["loc-objs"], "2");
    EXPECT_EQ(query("qryxstats", R"({"kind":"copy-bucket"})").json()["AbCd1234"].size(), 1U);

    const Answer itself = act("POST", "/v1/buckets/b?bck_to=ais/@%23/b/", "copy-bck", "{}");
    EXPECT_EQ(itself.status, 400);
    EXPECT_THAT(itself.body, HasSubstr("onto itself"));
    EXPECT_EQ(act("POST", "/v1/buckets/b", "copy-bck", "{}").status, 400);
    EXPECT_EQ(act("POST", "/v1/buckets/b?bck_to=nonsense", "copy-bck", "{}").status, 400);
    EXPECT_EQ(act("POST", "/v1/buckets/b?bck_to=aws/@%23/x/", "copy-bck", "{}").status, 501);
    EXPECT_EQ(act("POST", "/v1/buckets/nope?bck_to=ais/@%23/x/", "copy-bck", "{}").status, 404);
}

TEST_F(AisJobsTest, RenamesABucket) {
    create("taken");
    const std::string id =
        run("POST", "/v1/buckets/b?provider=ais&bck_to=ais%2F%40%23%2Fnew%2F", "move-bck");
    EXPECT_EQ(ask("HEAD", "/v1/buckets/b").status, 404);
    EXPECT_EQ(names_in("new").size(), 6U);
    EXPECT_EQ(snapshot(id)["kind"], "move-bck");
    EXPECT_EQ(query("status", R"({"kind":"move-bck"})").json()["uuid"], id);
    const Answer taken = act("POST", "/v1/buckets/new?bck_to=ais%2F%40%23%2Ftaken%2F", "move-bck");
    EXPECT_EQ(taken.status, 400);
    EXPECT_EQ(taken.json()["tcode"], "ErrBucketAlreadyExists");
}

TEST_F(AisJobsTest, RenamesAnObject) {
    const auto rename = [this](const std::string& from, const std::string& to) {
        return act("POST", "/v1/objects/b/" + from, "rename-obj", "null", to).status;
    };
    EXPECT_EQ(rename("o-1", "moved"), 200);
    EXPECT_EQ(get("b/moved").body, "of o-1");
    EXPECT_EQ(get("b/o-1").status, 404);
    EXPECT_EQ(rename("o-1", "again"), 404);
    EXPECT_EQ(rename("o-2", "../x"), 400);
}

TEST_F(AisJobsTest, NamespacesAreSeparate) {
    const std::string in = "?provider=ais&namespace=%40%23ns";
    ASSERT_EQ(act("POST", "/v1/buckets/b" + in, "create-bck").status, 200);
    ASSERT_EQ(ask("PUT", "/v1/objects/b/o-1" + in, "in a namespace").status, 200);
    run("DELETE", "/v1/buckets/b" + in, "delete-listrange", R"({"objnames":["o-1"]})");
    EXPECT_EQ(ask("GET", "/v1/objects/b/o-1" + in).status, 404);
    EXPECT_EQ(get("b/o-1").body, "of o-1");
    run("POST", "/v1/buckets/b?bck_to=ais%2F%40%23ns%2Fb%2F", "copy-bck", R"({"prefix":"o-2"})");
    EXPECT_EQ(ask("GET", "/v1/objects/b/o-2" + in).body, "of o-2");
    run("POST", "/v1/buckets/b" + in + "&bck_to=ais%2F%40%23ns%2Fc%2F", "move-bck");
    EXPECT_EQ(ask("HEAD", "/v1/buckets/b").status, 200);
}

TEST_F(AisJobsTest, StartsWhatHasNothingToDo) {
    const std::string first = run("PUT", "/v1/cluster", "start", R"({"Kind":"lru","Bck":null})");
    const std::string second = run("PUT", "/v1/cluster", "start", R"({"Kind":"lru"})");
    const std::string third = run("PUT", "/v1/cluster", "start", R"({"kind":"cleanup"})");
    EXPECT_NE(first, second);
    const nlohmann::json all = query("status_all", R"({"kind":""})").json();
    ASSERT_EQ(all.size(), 3U);
    EXPECT_EQ(all[0]["uuid"], third);
    EXPECT_EQ(all[0]["kind"], "cleanup-store");
    EXPECT_EQ(all[2]["uuid"], first);
    EXPECT_EQ(query("status_all", R"({"kind":"lru-eviction"})").json().size(), 2U);
    EXPECT_EQ(run("PUT", "/v1/cluster", "start", R"({"kind":"rebalance"})"), "g1");
    EXPECT_EQ(query("qryxstats", R"({"Kind":"lru","show_active":true})").json()["AbCd1234"],
              nlohmann::json::array());

    const auto refused = [this](const std::string& kind) {
        return act("PUT", "/v1/cluster", "start", R"({"kind":")" + kind + "\"}").status;
    };
    EXPECT_EQ(refused("nonsense"), 400);
    EXPECT_EQ(refused(""), 400);
    EXPECT_EQ(refused("make-n-copies"), 400);
    EXPECT_EQ(refused("copy-bck"), 501);
    EXPECT_EQ(refused("resilver"), 501);
    EXPECT_EQ(
        act("PUT", "/v1/cluster", "start", R"({"kind":"resilver","DaemonID":"AbCd1234"})").status,
        200);
    EXPECT_EQ(act("PUT", "/v1/cluster", "start",
                  R"({"kind":"load-lom-cache","bck":{"name":"nope","provider":"ais"}})")
                  .status,
              404);
}

TEST_F(AisJobsTest, UnknownJobsAndQueriesAreRefusedAsClientsExpect) {
    EXPECT_EQ(query("status", R"({"ID":"nosuchjob1"})").status, 404);
    EXPECT_EQ(query("status", "{}").status, 400);
    EXPECT_EQ(query("status", "").status, 400);
    EXPECT_EQ(query("qryxstats", R"({"ID":"nosuchjob1"})").status, 404);
    EXPECT_EQ(query("qryxstats", R"({"kind":"nonsense"})").status, 400);
    EXPECT_EQ(query("qryxstats", R"({"kind":"get-batch"})").json()["AbCd1234"],
              nlohmann::json::array());
    EXPECT_EQ(query("qryxstats", R"({"kind":"lru","bck":{"name":"nope","provider":"ais"}})").status,
              404);
    EXPECT_EQ(act("PUT", "/v1/cluster", "stop", "{}").status, 400);
    EXPECT_EQ(act("PUT", "/v1/cluster", "stop", R"({"ID":"nosuchjob1"})").status, 200);
    EXPECT_EQ(act("PUT", "/v1/cluster", "stop", R"({"Kind":"list"})").status, 200);
}

TEST_F(AisJobsTest, PromotesBelowItsRootOnly) {
    const std::string root = jobs_->options().promote_root;
    std::filesystem::remove_all(root);
    std::filesystem::create_directories(root + "/dir");
    std::ofstream(root + "/dir/f1") << "one";
    std::ofstream(root + "/dir/f2") << "two";
    const auto promote = [&](const std::string& source, const std::string& object,
                             const std::string& more = "") {
        return act("POST", "/v1/objects/b?provider=ais", "promote",
                   R"({"tid":"","src":")" + source + R"(","obj":")" + object + "\"" + more + "}",
                   source);
    };
    const Answer all = promote(root + "/dir", "prom/", R"(,"rcr":true)");
    ASSERT_EQ(all.status, 200) << all.body;
    EXPECT_EQ(finished(all.body).progress.objects, 2U);
    EXPECT_EQ(get("b/prom/f2").body, "two");
    const Answer one = promote(root + "/dir/f1", "single", R"(,"dls":true)");
    EXPECT_EQ(one.status, 200);
    EXPECT_EQ(one.body, "");
    EXPECT_EQ(get("b/single").body, "one");
    EXPECT_FALSE(std::filesystem::exists(root + "/dir/f1"));
    for (const std::string& source : {std::string("/etc/passwd"), root + "/../passwd",
                                      root + "more/x", std::string("dir"), std::string()}) {
        const Answer outside = promote(source, "x");
        EXPECT_EQ(outside.status, 400) << source;
        EXPECT_EQ(outside.json()["tcode"], "errInvalidPromoteSource");
    }
    EXPECT_EQ(promote(root + "/nope", "x").status, 404);
    std::filesystem::remove_all(root);
}

TEST_F(AisJobsTest, AccessBitsBindJobs) {
    ASSERT_EQ(act("PATCH", "/v1/buckets/b", "set-bprops", R"({"access":"771"})").status, 200);
    const Answer denied = act("DELETE", "/v1/buckets/b", "delete-listrange", "{}");
    EXPECT_EQ(denied.status, 403);
    EXPECT_EQ(denied.json()["tcode"], "ErrBucketAccessDenied");
    EXPECT_EQ(act("POST", "/v1/buckets/b?bck_to=ais%2F%40%23%2Fx%2F", "move-bck").status, 403);
}

}  // namespace
}  // namespace penstock::node::testing
