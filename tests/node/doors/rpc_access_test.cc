// Every declared method times every role.
#include <fmt/format.h>

#include "io/base/bytes.h"
#include "tests/node/doors/rpc_fixture.h"

namespace penstock::node::testing {
namespace {

using rpc::Name;

class RpcAccessTest : public RpcTest {
protected:
    void SetUp() override {
        RpcTest::SetUp();
        for (const char* bucket : {"mine", "other"}) create(bucket);
        std::string text;
        for (const char* role : {"read", "read-write", "admin"}) {
            for (const auto& [scope, buckets] : {std::pair("all", "*"), {"mine", "mine"}}) {
                const std::string token = fmt::format("{}-{}", scope, role);
                text += fmt::format("{0} {1} {2} {3}\n", token, role, buckets,
                                    hex_from_bytes(hash_of_token(token)));
            }
        }
        auto list = AccessList::parse(text);
        ASSERT_TRUE(list) << list.error();
        list_ = std::make_shared<const AccessList>(std::move(*list));
        access_.set(0, list_);
    }
    void connect_as(const std::string& token) {
        close_session();
        open_session(true);
        if (!token.empty()) EXPECT_EQ(call("auth.login", {{"token", token}}).code(), "");
    }
    static json arguments_of(const rpc::Method& method, const std::string& bucket) {
        json arguments = json::object();
        for (const rpc::Parameter& parameter : method.parameters) {
            if (parameter.name == Name::bucket || parameter.name == Name::to_bucket) {
                arguments[rpc::text_of(parameter.name)] = bucket;
            } else if (parameter.name == Name::upload) {
                arguments["upload"] = "id@" + bucket + "/o";
            } else if (parameter.name == Name::items) {
                arguments["items"] = json::array({{{"bucket", bucket}, {"name", "o"}}});
            } else if (parameter.name == Name::token) {
                // Of a page: none.
            } else if (parameter.is_required) {
                arguments[rpc::text_of(parameter.name)] = value_of(parameter.type);
            }
        }
        return arguments;
    }
    static json value_of(rpc::Type type) {
        switch (type) {
            case rpc::Type::bin:
                return binary("x");
            case rpc::Type::map:
                return json::object();
            case rpc::Type::array:
                return json::array();
            case rpc::Type::unsigned_integer:
                return 1;
            default:
                return "o";
        }
    }
    // For a batch, of each item.
    static uint64_t wanted_of(const rpc::Method& method) {
        return method.name == "object.get_many" ? access::get : method.wanted | method.wanted_there;
    }
    static bool names_bucket(const rpc::Method& method) {
        return std::ranges::any_of(method.parameters, [](const rpc::Parameter& parameter) {
            return parameter.name == Name::bucket || parameter.name == Name::upload ||
                   parameter.name == Name::items;
        });
    }

    std::shared_ptr<const AccessList> list_;
};

TEST_F(RpcAccessTest, EveryMethodAsksForItsRightsInEveryRole) {
    for (const rpc::Method& method : rpc::methods()) {
        if (method.name == "auth.login") continue;
        SCOPED_TRACE(method.name);
        const std::string name(method.name);
        connect_as("");
        const std::string stranger = call(name, arguments_of(method, "mine")).code();
        EXPECT_EQ(stranger == "unauthenticated", method.wanted != access::anyone) << stranger;
        if (method.wanted == access::anyone) continue;
        for (const AccessRole role :
             {AccessRole::read, AccessRole::read_write, AccessRole::admin}) {
            const bool is_allowed = (wanted_of(method) & ~allowed_bits(role)) == 0;
            connect_as(fmt::format("all-{}", name_of(role)));
            EXPECT_EQ(call(name, arguments_of(method, "mine")).code() == "refused", !is_allowed)
                << name_of(role);
            connect_as(fmt::format("mine-{}", name_of(role)));
            if (names_bucket(method)) {
                EXPECT_EQ(call(name, arguments_of(method, "other")).code(), "refused");
            }
            access_.set(0, nullptr);
            call("bucket.create", {{"bucket", "mine"}});
            access_.set(0, list_);
        }
    }
}

TEST_F(RpcAccessTest, ReadersChangeNothing) {
    for (const rpc::Method& method : rpc::methods()) {
        if (!method.changes) continue;
        EXPECT_NE((method.wanted | method.wanted_there) & ~allowed_bits(AccessRole::read), 0U)
            << method.name;
    }
}

TEST_F(RpcAccessTest, AWrongTokenIsNoneAndALaterListCountsOnOpenConnections) {
    connect_as("");
    EXPECT_EQ(call("auth.login", {{"token", "wrong"}}).code(), "unauthenticated");
    EXPECT_EQ(call("bucket.list").code(), "unauthenticated");
    connect_as("mine-read");
    const Reply reply = call("bucket.list");
    ASSERT_EQ(reply.code(), "");
    EXPECT_EQ(reply.result.at("buckets").size(), 1U);
    access_.set(0, std::make_shared<const AccessList>());
    EXPECT_EQ(call("bucket.list").code(), "unauthenticated");
}

TEST_F(RpcAccessTest, TheOwnerOnTheUnixSocketNeedsNoTokenUntilHeShowsOne) {
    close_session();
    open_session(true, {{}, true});
    EXPECT_EQ(call("bucket.create", {{"bucket", "new"}}).code(), "");
    EXPECT_EQ(call("auth.login", {{"token", "mine-read"}}).code(), "");
    EXPECT_EQ(call("bucket.create", {{"bucket", "newer"}}).code(), "refused");
}

}  // namespace
}  // namespace penstock::node::testing
