// Every route of the door times every role: the routes are the door's own table, so that none can
// be forgotten here.
#include <fmt/format.h>

#include "io/base/bytes.h"
#include "node/doors/ais/routes.h"
#include "tests/node/doors/door_test.h"

namespace penstock::node::testing {
namespace {

using ais::Place;
using ais::Resource;
using ais::Route;
using io::http::Method;

class RoutesTest : public DoorTest {
protected:
    void SetUp() override {
        create("mine");
        create("other");
        create("third");
        put("mine/o", "content");
        std::string text;
        for (const char* role : {"read", "read-write", "admin"}) {
            text += line(std::string("all-") + role, role, "*");
            text += line(std::string("mine-") + role, role, "mine,third");
        }
        auto list = AccessList::parse(text);
        ASSERT_TRUE(list) << list.error();
        list_ = std::make_shared<const AccessList>(std::move(*list));
        access_.set(0, list_);
    }
    // Somebody may have been let through who destroyed what the next one needs.
    void make_again() {
        access_.set(0, nullptr);
        for (const char* bucket : {"mine", "other", "third"}) {
            ask("POST", fmt::format("/v1/buckets/{}", bucket), R"({"action":"create-bck"})");
        }
        put("mine/o", "content");
        access_.set(0, list_);
    }
    static std::string line(const std::string& token, const char* role, const char* buckets) {
        return fmt::format("{0} {1} {2} {3}\n", token, role, buckets,
                           hex_from_bytes(hash_of_token(token)));
    }

    static std::string_view method_text(Method method) {
        switch (method) {
            case Method::get:
                return "GET";
            case Method::head:
                return "HEAD";
            case Method::put:
                return "PUT";
            case Method::post:
                return "POST";
            case Method::del:
                return "DELETE";
            case Method::patch:
                return "PATCH";
            default:
                return "OPTIONS";
        }
    }
    static std::string path_of(const Route& route, const std::string& bucket) {
        constexpr std::string_view names[] = {"nothing", "objects", "buckets", "health", "daemon",
                                              "reverse", "cluster", "etl",     "tokens"};
        std::string path = fmt::format("/v1/{}", names[static_cast<size_t>(route.resource)]);
        if (route.place != Place::cluster) path += "/" + bucket;
        if (route.place == Place::object) path += "/o";
        if (route.resource == Resource::reverse) path += "/daemon";
        std::string query = "?what=smap";
        if (!route.query.empty()) query += fmt::format("&{}=1", route.query);
        // Where a route names another bucket, this is it.
        if (route.query == "object_to") query = "?object_to=ais/@%23/third/copy";
        if (route.wanted_there != 0 && route.resource == Resource::buckets) {
            query += "&bck_to=ais/@%23/third/";
        }
        return path + query;
    }
    static std::string body_of(const Route& route) {
        if (route.action == ais::any_action || route.action.empty()) return "";
        return fmt::format(R"({{"action":"{}","name":"x","value":{{"tobck":{{"name":"third"}}}}}})",
                           route.action);
    }
    Answer ask_as(const std::string& token, std::string_view method, const std::string& target,
                  std::string_view body) {
        Headers headers{{"Ais-Node-Id", node_.node_id}};
        if (!token.empty()) headers.emplace_back("Authorization", "Bearer " + token);
        return ask(method, target, body, headers);
    }
    static bool is_refused(const Answer& answer) {
        const bool by_us = answer.body.contains("insufficient permissions") ||
                           answer.headers.contains("insufficient permissions");
        return answer.status == 403 && by_us;
    }

    std::shared_ptr<const AccessList> list_;
};

TEST_F(RoutesTest, EveryRouteAsksForItsRightsInEveryRole) {
    for (const Route& route : ais::routes()) {
        const std::string what = fmt::format("{} {} {}", method_text(route.method),
                                             path_of(route, "mine"), route.action);
        SCOPED_TRACE(what);
        const auto ask_bucket = [&](const std::string& token, const std::string& bucket) {
            return ask_as(token, method_text(route.method), path_of(route, bucket), body_of(route));
        };
        if (route.wanted == access::anyone) {
            EXPECT_LT(ask_bucket("", "mine").status, 400);
            continue;
        }
        for (const char* stranger : {"", "nobody"}) {
            const Answer answer = ask_bucket(stranger, "mine");
            EXPECT_EQ(answer.status, 401);
            EXPECT_EQ(answer.header("WWW-Authenticate"), "Bearer realm=\"penstock\"");
            // Nothing is told of names either.
            EXPECT_EQ(ask_bucket(stranger, "no..name").status, 401);
        }
        for (const AccessRole role :
             {AccessRole::read, AccessRole::read_write, AccessRole::admin}) {
            const std::string name(name_of(role));
            const uint64_t needed = route.wanted | route.wanted_there;
            const bool is_allowed = (needed & ~allowed_bits(role)) == 0;
            EXPECT_EQ(is_refused(ask_bucket("all-" + name, "mine")), !is_allowed) << name;
            const Answer scoped = ask_bucket("mine-" + name, "other");
            if (route.place != Place::cluster) {
                EXPECT_TRUE(is_refused(scoped)) << name;
            }
            make_again();
        }
    }
}

TEST_F(RoutesTest, ReadersChangeNothing) {
    for (const Route& route : ais::routes()) {
        const bool only_looks = route.method == Method::get || route.method == Method::head ||
                                route.action == "check-lock" || route.wanted == access::get ||
                                route.resource == Resource::tokens;
        if (only_looks) continue;
        const uint64_t wanted = route.wanted | route.wanted_there;
        EXPECT_NE(wanted & ~allowed_bits(AccessRole::read), 0U)
            << method_text(route.method) << ' ' << route.action;
    }
}

TEST_F(RoutesTest, WhatIsInNoRowNeedsAnAdministrator) {
    for (const auto& [method, target, body] :
         std::vector<std::tuple<std::string, std::string, std::string>>{
             {"PUT", "/v1/cluster", R"({"action":"shutdown"})"},
             {"PUT", "/v1/cluster", R"({"action":"reset-stats","value":false})"},
             {"PUT", "/v1/cluster", R"({"action":"rotate-logs"})"},
             {"PUT", "/v1/cluster", R"({"action":"reload-creds"})"},
             {"PUT", "/v1/cluster", R"({"action":"start","value":{"Kind":"rechunk"}})"},
             {"PUT", "/v1/cluster/set-config?log.level=4&transient=true", ""},
             {"PUT", "/v1/cluster/load-x509", ""},
             {"PUT", "/v1/cluster/proxy/x", ""},
             {"POST", "/v1/buckets/mine", R"({"action":"rechunk","value":null})"},
             {"DELETE", "/v1/tokens", "{}"},
             {"PUT", "/v1/daemon/set-config", ""},
             {"PUT", "/v1/reverse/daemon", R"({"action":"reset-config"})"},
             {"POST", "/v1/buckets/mine", R"({"action":"made-up"})"},
             {"POST", "/v1/objects/mine/o", R"({"action":"made-up"})"},
             {"DELETE", "/v1/buckets/mine", R"({"action":""})"},
             {"POST", "/v1/etl", "{}"},
             {"GET", "/v1/made-up", ""},
         }) {
        SCOPED_TRACE(target + body);
        EXPECT_EQ(ask_as("", method, target, body).status, 401);
        EXPECT_TRUE(is_refused(ask_as("all-read-write", method, target, body)));
        EXPECT_FALSE(is_refused(ask_as("all-admin", method, target, body)));
    }
}

TEST_F(RoutesTest, ATokenIsToldWhetherItCounts) {
    for (const char* token : {"mine-read", "all-read-write", "all-admin"}) {
        EXPECT_EQ(ask_as(token, "POST", "/v1/tokens", "").status, 200) << token;
    }
    EXPECT_EQ(ask_as("nobody", "POST", "/v1/tokens", "").status, 401);
    EXPECT_EQ(ask_as("", "POST", "/v1/tokens", "").status, 401);
}

TEST_F(RoutesTest, TheOtherBucketOfACopyIsAskedForToo) {
    const std::string token = "mine-read-write";
    EXPECT_EQ(ask_as(token, "PUT", "/v1/objects/mine/o?object_to=ais/@%23/third/c", "").status,
              200);
    EXPECT_TRUE(
        is_refused(ask_as(token, "PUT", "/v1/objects/mine/o?object_to=ais/@%23/other/c", "")));
    EXPECT_TRUE(is_refused(ask_as(token, "POST", "/v1/buckets/mine?bck_to=ais/@%23/other/",
                                  R"({"action":"copy-bck","value":null})")));
    EXPECT_TRUE(
        is_refused(ask_as(token, "POST", "/v1/buckets/mine",
                          R"({"action":"copy-listrange","value":{"tobck":{"name":"other"}}})")));
    EXPECT_TRUE(is_refused(ask_as("mine-admin", "POST", "/v1/buckets/mine?bck_to=ais/@%23/new/",
                                  R"({"action":"move-bck"})")));
}

TEST_F(RoutesTest, OthersBucketsAreNotShown) {
    for (const char* target : {"/v1/buckets", "/v1/cluster?what=bmd", "/ais"}) {
        const Answer answer = ask_as("mine-read", "GET", target, "");
        EXPECT_EQ(answer.status, 200) << target;
        EXPECT_THAT(answer.body, ::testing::HasSubstr("mine")) << target;
        EXPECT_THAT(answer.body, ::testing::Not(::testing::HasSubstr("other"))) << target;
    }
    EXPECT_THAT(ask_as("all-read", "GET", "/v1/buckets", "").body, ::testing::HasSubstr("other"));
}

TEST_F(RoutesTest, EasyUrlsAreTheSameRoutes) {
    EXPECT_EQ(ask_as("", "GET", "/ais/mine/o", "").status, 401);
    EXPECT_EQ(ask_as("mine-read", "GET", "/ais/mine/o", "").status, 200);
    EXPECT_TRUE(is_refused(ask_as("mine-read", "GET", "/ais/other/o", "")));
    EXPECT_TRUE(is_refused(ask_as("mine-read", "PUT", "/ais/mine/o", "x")));
    EXPECT_TRUE(is_refused(ask_as("mine-read", "GET", "/ais/%6Fther/o", "")));
    EXPECT_TRUE(is_refused(ask_as("mine-read", "GET", "/v1/objects/mine/o?namespace=%23x", "")));
}

TEST_F(RoutesTest, StrangeAuthorizationIsNone) {
    const std::string target = "/v1/objects/mine/o";
    for (const std::string& value :
         {std::string("Basic bWluZTpy"), std::string("Bearer"), std::string("Bearer "),
          std::string("mine-read"), "Bearer " + std::string(60'000, 'x'),
          std::string("Bearer mine-read x"), std::string("Bearer \xFF\xFE")}) {
        EXPECT_EQ(ask("GET", target, "", {{"Authorization", value}}).status, 401) << value.size();
    }
    const Headers twice{{"Authorization", "Bearer mine-read"}, {"authorization", "Bearer x"}};
    EXPECT_EQ(ask("GET", target, "", twice).status, 401);
    EXPECT_EQ(ask("GET", target, "", {{"AUTHORIZATION", "bearer  mine-read"}}).status, 200);
}

}  // namespace
}  // namespace penstock::node::testing
