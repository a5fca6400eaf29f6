#include <isa-l/igzip_lib.h>

#include <map>

#include "io/base/checksum.h"
#include "io/base/recent_log.h"
#include "tests/node/doors/door_test.h"

namespace penstock::node::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// A task that has its value already.
template <typename T>
io::Task<T> ready(T value) {
    co_return value;
}

// Name -> content of a small .tar.gz.
std::map<std::string, std::string> unpacked_tar(std::string_view packed) {
    std::string tar(4 << 20, '\0');
    inflate_state state;
    isal_inflate_init(&state);
    state.crc_flag = ISAL_GZIP;
    std::string input(packed);
    state.next_in = reinterpret_cast<uint8_t*>(input.data());
    state.avail_in = static_cast<uint32_t>(input.size());
    state.next_out = reinterpret_cast<uint8_t*>(tar.data());
    state.avail_out = static_cast<uint32_t>(tar.size());
    EXPECT_EQ(isal_inflate_stateless(&state), ISAL_DECOMP_OK);
    std::map<std::string, std::string> files;
    for (size_t at = 0; at + 512 <= state.total_out && tar[at] != '\0';) {
        const size_t size = std::stoul(tar.substr(at + 124, 11), nullptr, 8);
        files[std::string(tar.c_str() + at)] = tar.substr(at + 512, size);
        at += 512 + (size + 511) / 512 * 512;
    }
    return files;
}

class AisClusterTest : public DoorTest {
protected:
    Answer reverse(const std::string& what, const std::string& id) {
        return ask("GET", "/v1/reverse/daemon?what=" + what, "", {{"Ais-Node-Id", id}});
    }
    Answer jobs(const std::string& what, const std::string& query) {
        return ask("GET", "/v1/cluster?what=" + what, query);
    }
};

TEST_F(AisClusterTest, MapHasOneNodeOfEachRoleAtAnAddressThatAnswers) {
    const auto map = ask("GET", "/v1/daemon?what=smap").json();
    EXPECT_EQ(map["uuid"], "uVwXyZ123");
    EXPECT_EQ(map["version"], "1");
    ASSERT_EQ(map["pmap"].size(), 1);
    ASSERT_EQ(map["tmap"].size(), 1);
    EXPECT_EQ(map["proxy_si"], map["pmap"].begin().value());
    EXPECT_EQ(map["proxy_si"]["public_net"]["direct_url"], "http://127.0.0.1:51080");
    EXPECT_EQ(map["proxy_si"]["public_net"]["daemon_port"], "51080");
    const auto target = map["tmap"].begin().value();
    EXPECT_EQ(target["daemon_id"], "AbCd1234");
    EXPECT_EQ(target["id_digest"], xxh64(as_bytes("AbCd1234"), placement_seed));
    EXPECT_NE(map["proxy_si"]["daemon_id"], target["daemon_id"]);
    EXPECT_EQ(ask("GET", "/v1/cluster?what=smap").json(), map);
}

TEST_F(AisClusterTest, NodeThatListensEverywhereIsKnownByTheNameItWasCalledBy) {
    node_.http_address = "0.0.0.0:51080";
    const auto map = ask("GET", "/v1/daemon?what=smap").json();
    EXPECT_EQ(map["proxy_si"]["public_net"]["direct_url"], "http://h:51080");
}

TEST_F(AisClusterTest, HealthSaysHowLong) {
    for (const std::string query : {"", "?prr=true", "?readiness=true"}) {
        const Answer answer = ask("GET", "/v1/health" + query);
        EXPECT_EQ(answer.status, 200);
        EXPECT_EQ(answer.body, "");
        EXPECT_NE(answer.header("Ais-Cluster-Uptime"), "<absent>");
    }
    EXPECT_EQ(ask("GET", "/v1/health?cii=true").json()["flags"], 6);
}

TEST_F(AisClusterTest, StatusOfEachNodeComesThroughAnyNode) {
    const auto status = reverse("node_status", "AbCd1234").json();
    EXPECT_THAT(status["ais_version"].get<std::string>(), StartsWith("5.0."));
    EXPECT_EQ(status["cluster"]["flags"], 6);
    EXPECT_TRUE(status["tracker"]["up.ns.time"].is_number());
    EXPECT_TRUE(status["capacity"]["mountpaths"]["/data"]["used"].is_string());
    EXPECT_GT(status["sys_info"]["mem"]["Total"], 0);
    EXPECT_EQ(reverse("node_status", "AbCd1234p").json()["capacity"]["mountpaths"], nullptr);
    EXPECT_EQ(reverse("mountpaths", "AbCd1234").json()["available"][0], "/data");
    EXPECT_EQ(reverse("mountpaths", "AbCd1234p").status, 400);
    EXPECT_TRUE(reverse("disk", "AbCd1234").json()["mountpaths"].is_object());
    EXPECT_THAT(reverse("log&severity=info", "AbCd1234").body, HasSubstr("AbCd1234"));
    EXPECT_EQ(reverse("log&severity=error", "AbCd1234").status, 200);
    EXPECT_EQ(reverse("log&severity=nonsense", "AbCd1234").status, 400);

    const Answer unknown = reverse("node_status", "nosuchnode");
    EXPECT_EQ(unknown.status, 404);
    EXPECT_EQ(unknown.json()["tcode"], "errNodeNotFound");
    EXPECT_EQ(ask("GET", "/v1/reverse/daemon?what=node_status").status, 400);
}

TEST_F(AisClusterTest, ConfigurationHasEveryGroupThatClientsLookAt) {
    const auto config = ask("GET", "/v1/cluster?what=cluster_config").json();
    for (const char* group :
         {"space",     "rebalance", "auth",     "proxy", "net",  "timeout",          "client",
          "checksum",  "log",       "periodic", "disk",  "fshc", "keepalivetracker", "memsys",
          "transport", "tcb",       "tco",      "arch",  "lso",  "get_batch"}) {
        EXPECT_TRUE(config[group].is_object()) << group;
    }
    EXPECT_EQ(config["auth"]["client_auth_required"], false);
    const auto node = ask("GET", "/v1/daemon?what=config").json();
    EXPECT_EQ(node["host_net"]["port"], "51080");
    EXPECT_EQ(node["uuid"], "uVwXyZ123");
}

TEST_F(AisClusterTest, ClusterAnswersForItsOnlyTarget) {
    EXPECT_EQ(ask("GET", "/v1/cluster?what=backends").json(), nlohmann::json::array());
    EXPECT_EQ(ask("GET", "/v1/cluster?what=remote").body, "{\"a\":null,\"ver\":0}\n");
    EXPECT_EQ(ask("GET", "/v1/cluster?what=target_ips").body, "127.0.0.1,127.0.0.1,127.0.0.1");
    EXPECT_TRUE(ask("GET", "/v1/cluster?what=mountpaths").json()["targets"].contains("AbCd1234"));
    EXPECT_TRUE(ask("GET", "/v1/cluster?what=sysinfo").json()["target"].contains("AbCd1234"));
    EXPECT_TRUE(ask("GET", "/v1/cluster?what=node_stats").json()["target"].contains("AbCd1234"));
    EXPECT_EQ(ask("GET", "/v1/cluster?what=nonsense").status, 400);
    EXPECT_EQ(ask("GET", "/v1/daemon?what=nonsense").status, 400);
    EXPECT_EQ(ask("GET", "/v1/daemon").status, 400);
    EXPECT_EQ(ask("GET", "/v1/daemon?what=tls_certificate").status, 404);
    create("b");
    const auto metadata = ask("GET", "/v1/daemon?what=bmd").json();
    EXPECT_TRUE(metadata["providers"]["ais"]["@#"].contains("b"));
    EXPECT_TRUE(metadata["version"].is_string());
}

TEST_F(AisClusterTest, NoJobHasEverRun) {
    create("b");
    EXPECT_EQ(jobs("running_all", R"({"kind":"","show_active":true})").json().size(), 0);
    EXPECT_EQ(jobs("status_all", R"({"kind":"lru"})").json().size(), 0);
    EXPECT_EQ(jobs("status", R"({"ID":"nosuchjob1","Kind":""})").status, 404);
    EXPECT_EQ(jobs("status", "{}").status, 400);
    EXPECT_EQ(jobs("qryxstats", R"({"ID":"nosuchjob1"})").status, 404);
    EXPECT_EQ(jobs("qryxstats", R"({"kind":"copy-bucket"})").json()["AbCd1234"].size(), 0);
    EXPECT_EQ(jobs("qryxstats", R"({"kind":"nonsense"})").status, 400);
    EXPECT_EQ(jobs("qryxstats", R"({"kind":"lru","bck":{"name":"nope","provider":"ais"}})").status,
              404);
    EXPECT_EQ(jobs("qryxstats", R"({"kind":"lru","bck":{"name":"b"}})").status, 200);
    EXPECT_EQ(jobs("qryxstats", "").status, 400);
    EXPECT_EQ(jobs("status", "").status, 400);
}

TEST_F(AisClusterTest, ConfigurationIsSetByKeysOrByAPartOfItAndReset) {
    const auto config = [&] { return ask("GET", "/v1/cluster?what=cluster_config").json(); };
    const auto set = [&](const std::string& query) {
        return ask("PUT", "/v1/cluster/set-config?" + query).status;
    };
    const auto before = config();
    EXPECT_EQ(set("log.level=4&space.lowwm=70&lru.dont_evict_time=30m&resilver.enabled=on"), 200);
    auto now = config();
    EXPECT_EQ(now["log"]["level"], "4");
    EXPECT_EQ(now["space"]["lowwm"], 70);
    EXPECT_EQ(now["lru"]["dont_evict_time"], "30m");
    EXPECT_EQ(now["resilver"]["enabled"], true);
    EXPECT_EQ(now["config_version"], "2");
    EXPECT_EQ(ask("PUT", "/v1/cluster",
                  R"({"action":"set-config","value":{"timeout":{"send_file_time":"7m"},
                      "features":"1024","log":null}})")
                  .status,
              200);
    EXPECT_EQ(config()["timeout"]["send_file_time"], "7m");
    EXPECT_EQ(config()["features"], "1024");
    EXPECT_EQ(reverse("config", "AbCd1234").json()["log"]["level"], "4");
    EXPECT_EQ(
        ask("PUT", "/v1/reverse/daemon/set-config?log.level=5", "", {{"Ais-Node-Id", "AbCd1234"}})
            .status,
        200);
    EXPECT_EQ(config()["log"]["level"], "5");

    EXPECT_EQ(ask("PUT", "/v1/cluster", R"({"action":"reset-config"})").status, 200);
    now = config();
    EXPECT_EQ(now["config_version"], "5");
    now["config_version"] = before["config_version"];
    EXPECT_EQ(now, before);
}

TEST_F(AisClusterTest, ConfigurationThatCannotBeChangesNothing) {
    const auto before = ask("GET", "/v1/cluster?what=cluster_config").json();
    const std::pair<std::string, int> queries[] = {
        {"nonsense.key=1", 400},          {"log=x", 400},
        {"log.level.deeper=1", 400},      {"=1", 400},
        {"space.lowwm=many", 400},        {"space.lowwm=7&nonsense=1", 400},
        {"resilver.enabled=maybe", 400},  {"periodic.stats_time=soon", 400},
        {"memsys.min_free=much", 400},    {"features=all", 400},
        {"net.http.use_https=true", 400}, {"auth.client_auth_required=true", 400},
        {"checksum.type=nope", 400},      {"mirror.enabled=true", 501},
        {"ec.enabled=true", 501},         {"a~2b/c=1", 400},
    };
    for (const auto& [query, status] : queries) {
        EXPECT_EQ(ask("PUT", "/v1/cluster/set-config?" + query).status, status) << query;
    }
    EXPECT_THAT(ask("PUT", "/v1/cluster/set-config?nonsense.key=1").body,
                HasSubstr("unknown property \\\"nonsense.key\\\""));
    for (const std::string value : {"[]", "7", R"({"log":7})", R"({"log":{"level":4}})"}) {
        const std::string body = R"({"action":"set-config","value":)" + value + "}";
        EXPECT_EQ(ask("PUT", "/v1/cluster", body).status, 400) << value;
    }
    EXPECT_EQ(ask("GET", "/v1/cluster?what=cluster_config").json(), before);
}

TEST_F(AisClusterTest, NewBucketsBeginWithWhatTheConfigurationSays) {
    EXPECT_EQ(
        ask("PUT", "/v1/cluster/set-config?checksum.type=md5&versioning.enabled=false").status,
        200);
    EXPECT_EQ(ask("POST", "/v1/buckets/fresh", R"({"action":"create-bck"})").status, 200);
    EXPECT_EQ(ask("POST", "/v1/buckets/own", R"({"action":"create-bck","value":
                  {"checksum":{"type":"sha256"}}})")
                  .status,
              200);
    const auto properties = [&](const std::string& bucket) {
        return nlohmann::json::parse(
            ask("HEAD", "/v1/buckets/" + bucket + "?provider=ais").header("Ais-Bucket-Props"));
    };
    EXPECT_EQ(properties("fresh")["checksum"]["type"], "md5");
    EXPECT_EQ(properties("fresh")["versioning"]["enabled"], false);
    EXPECT_EQ(properties("own")["checksum"]["type"], "sha256");
    EXPECT_EQ(properties("own")["versioning"]["enabled"], false);
}

TEST_F(AisClusterTest, TransientConfigurationHoldsUntilTheNodeStops) {
    const auto config = [&] { return ask("GET", "/v1/cluster?what=cluster_config").json(); };
    const auto checksum_of_new = [&](const std::string& bucket) {
        create(bucket);
        const Answer head = ask("HEAD", "/v1/buckets/" + bucket);
        const auto properties = nlohmann::json::parse(head.header("Ais-Bucket-Props"));
        return properties["checksum"]["type"].get<std::string>();
    };
    const auto set = [&](const std::string& query) {
        return ask("PUT", "/v1/cluster/set-config?" + query).status;
    };
    EXPECT_EQ(set("log.level=4&checksum.type=md5"), 200);
    EXPECT_EQ(set("log.level=5&checksum.type=sha256&transient=true"), 200);
    EXPECT_EQ(ask("PUT", "/v1/cluster?transient=yes",
                  R"({"action":"set-config","value":{"space":{"lowwm":70}}})")
                  .status,
              200);
    EXPECT_EQ(config()["log"]["level"], "5");
    EXPECT_EQ(config()["space"]["lowwm"], 70);
    EXPECT_EQ(config()["config_version"], "2");  // nothing that lasts
    EXPECT_EQ(checksum_of_new("a"), "sha256");

    const uint64_t started_ns = node_.started_ns;
    node_.started_ns += 1;  // as after a restart
    EXPECT_EQ(config()["log"]["level"], "4");
    EXPECT_EQ(config()["space"]["lowwm"], 75);
    EXPECT_EQ(checksum_of_new("b"), "md5");

    // What is set for good ends what was not, of its key alone.
    node_.started_ns = started_ns;
    EXPECT_EQ(set("log.level=2"), 200);
    EXPECT_EQ(config()["log"]["level"], "2");
    EXPECT_EQ(checksum_of_new("c"), "sha256");
    EXPECT_EQ(ask("PUT", "/v1/cluster", R"({"action":"reset-config"})").status, 200);
    EXPECT_EQ(config()["space"]["lowwm"], 75);
    EXPECT_EQ(checksum_of_new("d"), "xxhash2");

    EXPECT_EQ(set("log.level=4&transient=perhaps"), 400);
    EXPECT_EQ(set("mirror.enabled=true&transient=true"), 501);
    EXPECT_EQ(config()["log"]["level"], "3");
}

TEST_F(AisClusterTest, LogIsReadFromAnOffsetAndAsAnArchive) {
    RecentLog recent;
    door_.show_log(&recent);
    recent.add(LogLevel::info, "something happened\n");
    recent.add(LogLevel::warning, "beware\n");
    const std::string info = reverse("log", "AbCd1234").body;
    EXPECT_THAT(info, StartsWith("Started up at "));
    EXPECT_THAT(info, ::testing::EndsWith("something happened\nbeware\n"));
    EXPECT_THAT(reverse("log&severity=error", "AbCd1234").body,
                ::testing::EndsWith("cores 1\nbeware\n"));
    recent.add(LogLevel::info, "and more\n");
    const std::string offset = "&offset=" + std::to_string(info.size());
    EXPECT_EQ(reverse("log" + offset, "AbCd1234").body, "and more\n");
    EXPECT_EQ(reverse("log&offset=99999999", "AbCd1234").body, "");

    const auto files = [&] {
        const Answer answer = reverse("log&severity=info&all=true", "AbCd1234");
        EXPECT_EQ(answer.header("Content-Type"), "application/x-gzip");
        return unpacked_tar(answer.body);
    };
    EXPECT_THAT(files(), ::testing::UnorderedElementsAre(
                             ::testing::Pair("penstockd.INFO.log", HasSubstr("and more")),
                             ::testing::Pair("penstockd.ERROR.log", HasSubstr("beware"))));
    EXPECT_EQ(ask("PUT", "/v1/cluster", R"({"action":"rotate-logs"})").status, 200);
    EXPECT_THAT(reverse("log", "AbCd1234").body, ::testing::EndsWith("cores 1\n"));
    EXPECT_EQ(files().at("penstockd.INFO.before.log"), "something happened\nbeware\nand more\n");
    EXPECT_EQ(files().at("penstockd.ERROR.before.log"), "beware\n");
    EXPECT_EQ(reverse("log&all=perhaps", "AbCd1234").status, 400);
    door_.show_log(nullptr);
}

TEST_F(AisClusterTest, StatisticsAreCountedAndReset) {
    RequestMetrics counted;
    door_.show_statistics([&](uint32_t) { return ready(counted); });
    const auto count = [&](Door door, Operation operation, uint16_t status) {
        counted.record({door, operation, status, 30, 500, 1000});
    };
    count(Door::ais, Operation::get, 200);
    count(Door::rpc, Operation::get_many, 0);
    count(Door::ais, Operation::get, 404);
    count(Door::rpc, Operation::get, 7);
    count(Door::ais, Operation::put, 200);
    count(Door::ais, Operation::list, 200);
    const auto tracker = [&] { return reverse("node_stats", "AbCd1234").json()["tracker"]; };
    EXPECT_EQ(tracker()["get.n"], 2);
    EXPECT_EQ(tracker()["err.get.n"], 2);
    EXPECT_EQ(tracker()["get.size"], 2000);
    EXPECT_EQ(tracker()["get.ns.total"], 4000);
    EXPECT_EQ(tracker()["get.ns"], 1000);
    EXPECT_EQ(tracker()["put.size"], 30);
    EXPECT_EQ(tracker()["lst.n"], 1);
    EXPECT_FALSE(tracker().contains("del.n")) << "counters that are 0 are left out";
    EXPECT_FALSE(reverse("node_stats", "AbCd1234p").json()["tracker"].contains("get.n"));
    const auto kinds = ask("GET", "/v1/daemon?what=metrics").json();
    for (const auto& [name, value] : tracker().items()) EXPECT_TRUE(kinds.contains(name)) << name;

    const auto reset = [&](const char* value) {
        return ask("PUT", "/v1/cluster",
                   std::string(R"({"action":"reset-stats","value":)") + value + "}")
            .status;
    };
    EXPECT_EQ(reset("true"), 200);
    EXPECT_EQ(tracker()["get.n"], 2);
    EXPECT_FALSE(tracker().contains("err.get.n"));
    EXPECT_EQ(reset("false"), 200);
    EXPECT_FALSE(tracker().contains("get.n"));
    EXPECT_EQ(tracker()["get.size"], 0);
    EXPECT_TRUE(tracker()["up.ns.time"].is_number());
    count(Door::ais, Operation::get, 200);
    EXPECT_EQ(tracker()["get.n"], 1);
    door_.show_statistics({});
}

TEST_F(AisClusterTest, CertificateIsReadAgainWhereThereIsOne) {
    EXPECT_EQ(ask("PUT", "/v1/cluster/load-x509").status, 404);
    Status outcome;
    int loads = 0;
    door_.show_certificate({}, [&](uint32_t) {
        ++loads;
        return ready(outcome);
    });
    EXPECT_EQ(ask("PUT", "/v1/cluster/load-x509").status, 200);
    EXPECT_EQ(ask("PUT", "/v1/cluster/load-x509/AbCd1234").status, 200);
    EXPECT_EQ(ask("PUT", "/v1/cluster/load-x509/nosuchnode").status, 404);
    EXPECT_EQ(loads, 2);
    outcome = fail(Errc::invalid, "the certificate is none");
    EXPECT_EQ(ask("PUT", "/v1/cluster/load-x509").status, 500);
    outcome = fail(Errc::not_found, "");
    EXPECT_EQ(ask("PUT", "/v1/cluster/load-x509").status, 404);
}

TEST_F(AisClusterTest, WhatIsNotBuiltWrongOrUnknownIsToldApart) {
    const auto status = [&](const std::string& method, const std::string& target,
                            const std::string& body = "") {
        return ask(method, target, body).status;
    };
    EXPECT_EQ(status("PUT", "/v1/cluster", R"({"action":"reset-stats","value":"all"})"), 400);
    for (const std::string action : {"shutdown", "decommission", "start-maintenance"}) {
        EXPECT_EQ(status("PUT", "/v1/cluster", R"({"action":")" + action + "\"}"), 501) << action;
    }
    EXPECT_EQ(status("PUT", "/v1/cluster/attach?what=remote"), 501);
    EXPECT_EQ(status("PUT", "/v1/cluster/enable-bend/aws"), 400);
    EXPECT_EQ(status("PUT", "/v1/cluster/proxy/AbCd1234p"), 200);
    EXPECT_EQ(status("PUT", "/v1/cluster/proxy/nosuchnode"), 404);
    EXPECT_EQ(status("PUT", "/v1/cluster", R"({"action":"reload-creds","name":""})"), 200);
    EXPECT_EQ(
        ask("PUT", "/v1/cluster", R"({"action":"reload-creds","name":"aws"})").json()["tcode"],
        "ErrMissingBackend");
    EXPECT_EQ(status("POST", "/v1/tokens"), 401);
    EXPECT_EQ(status("DELETE", "/v1/tokens", "{}"), 501);
    EXPECT_EQ(status("PUT", "/v1/cluster", R"({"action":"rotate-logs","value":null})"), 200);
    EXPECT_EQ(status("PUT", "/v1/cluster", R"({"action":"nonsense"})"), 400);
    for (const std::string path : {"download/abort", "sort?uuid=x", "etl", "ml/moss", "tokens"}) {
        EXPECT_EQ(status("GET", "/v1/" + path), 501) << path;
    }
    EXPECT_EQ(status("GET", "/v1/download", R"({"id":"dnl-1"})"), 501);
    EXPECT_EQ(status("GET", "/v1/download"), 400);
    EXPECT_EQ(ask("GET", "/v1/download", R"({"id":"","regex":""})").body, "[]\n");
    EXPECT_EQ(ask("GET", "/v1/sort?only_active=true&regex=").body, "[]\n");
    for (const std::string path : {"/", "/v1", "/v1/nonsense", "/v1/xactions", "/nonsense"}) {
        EXPECT_EQ(status("GET", path), 400) << path;
    }
    const Answer method = ask("PATCH", "/v1/cluster", "{}");
    EXPECT_EQ(method.status, 405);
    EXPECT_EQ(method.header("Allow"), "DELETE, GET, POST, PUT");
    EXPECT_EQ(method.body, "Method Not Allowed\n");
    EXPECT_EQ(ask("TRACE", "/v1/objects/b/o").status, 405);
    const Answer options = ask("OPTIONS", "/v1/objects/b/o");
    EXPECT_EQ(options.status, 200);
    EXPECT_THAT(options.header("Allow"), HasSubstr("PUT"));
}

TEST_F(AisClusterTest, PathsOfTheDoorAreKnown) {
    for (const char* path : {"/v1/objects/b/o", "/v1", "/ais/b/o", "/gs", "/az/b"}) {
        EXPECT_TRUE(AisDoor::is_for(path)) << path;
    }
    for (const char* path : {"/", "/metrics", "/s3/b", "/v1x", "/aisx"}) {
        EXPECT_FALSE(AisDoor::is_for(path)) << path;
    }
}

}  // namespace
}  // namespace penstock::node::testing
