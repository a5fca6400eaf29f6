// The methods, one by one, and what is wrong with arguments and messages.
#include <fcntl.h>

#include <fstream>
#include <sstream>

#include "node/service/bucket_defaults.h"
#include "tests/node/doors/rpc_fixture.h"

namespace penstock::node::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(RpcTest, DescribeSaysWhatIsDeclared) {
    const json result = call("rpc.describe").result;
    EXPECT_EQ(result["methods"].size(), rpc::methods().size());
    EXPECT_EQ(result["errors"].size(), 15U);
    EXPECT_EQ(result["limits"]["value_bytes"], 1 << 20);
    EXPECT_EQ(result["limits"]["message_bytes"], 4 << 20);
    EXPECT_EQ(result["limits"]["nesting"], 32);
    for (const json& method : result["methods"]) {
        const rpc::Method* declared = rpc::find_method(std::string(method["name"]));
        ASSERT_NE(declared, nullptr);
        EXPECT_EQ(method["params"].size(), declared->parameters.size());
        EXPECT_EQ(method["changes"], declared->changes);
        EXPECT_FALSE(method["doc"].empty());
    }
}

TEST_F(RpcTest, NodeAndClusterAnswer) {
    EXPECT_EQ(call("node.status").result["node"], "AbCd1234");
    EXPECT_EQ(call("cluster.status").result["nodes"][0]["state"], "online");
    EXPECT_TRUE(call("rpc.ping").result.contains("time_ns"));
    EXPECT_EQ(call("auth.login", {{"token", "t"}}).result["required"], false);
}

TEST_F(RpcTest, ArgumentsMayBeLeftOutWhereNoneAreNeeded) {
    EXPECT_TRUE(take(packed(json::array({0, 1, "rpc.ping", json::array()}))));
    EXPECT_TRUE(replies().at(0).at(2).is_null());
}

TEST_F(RpcTest, BucketsAreMadeListedChangedAndDestroyed) {
    create("b");
    EXPECT_EQ(call("bucket.create", {{"bucket", "b"}}).code(), "exists");
    EXPECT_EQ(call("bucket.create", {{"bucket", "a/b"}}).code(), "invalid");
    EXPECT_EQ(call("bucket.list").result["buckets"],
              json::array({{{"name", "b"}, {"provider", "ais"}}}));
    EXPECT_EQ(
        call("bucket.set", {{"bucket", "ais://b"}, {"props", {{"durability", "none"}}}}).code(),
        "");
    const json props = call("bucket.stat", {{"bucket", "b"}}).result["props"];
    EXPECT_EQ(props["durability"], "none");
    EXPECT_EQ(props["checksum"], "xxhash") << "what was not named stays";
    EXPECT_EQ(call("bucket.set", {{"bucket", "b"}, {"props", {{"durability", 1}}}}).code(),
              "invalid");
    EXPECT_EQ(call("bucket.set", {{"bucket", "b"}, {"props", {{"colour", "red"}}}}).code(),
              "invalid");
    EXPECT_EQ(call("bucket.destroy", {{"bucket", "b"}}).code(), "");
    EXPECT_EQ(call("bucket.stat", {{"bucket", "b"}}).code(), "bucket_not_found");
    EXPECT_EQ(call("bucket.set", {{"bucket", "b"}, {"props", json::object()}}).code(),
              "bucket_not_found");
}

TEST_F(RpcTest, BucketsBeginAsTheConfigurationSays) {
    BucketProperties lasting;
    lasting.checksum = ChecksumType::md5;
    lasting.other_json = R"({"chunks":{"objsize_limit":"8MiB"}})";
    const auto begin_with = [&](std::optional<BucketProperties> now) {
        SetValues change;
        add_bucket_defaults(change, node_.started_ns, lasting, now);
        ASSERT_TRUE(reactor_.run_until_done(service_.set_configuration(0, change)));
    };
    const auto props_of = [&](const std::string& bucket, const json& asked) {
        EXPECT_EQ(call("bucket.create", {{"bucket", bucket}, {"props", asked}}).code(), "");
        return call("bucket.stat", {{"bucket", bucket}}).result["props"];
    };
    begin_with(std::nullopt);
    json props = props_of("like-all", json::object());
    EXPECT_EQ(props["checksum"], "md5");
    EXPECT_EQ(props["objsize_limit"], 8 << 20);
    props = props_of("own", {{"checksum", "sha256"}, {"versioned", false}});
    EXPECT_EQ(props["checksum"], "sha256");
    EXPECT_EQ(props["versioned"], false);
    EXPECT_EQ(props["objsize_limit"], 8 << 20);

    begin_with(BucketProperties());
    EXPECT_EQ(props_of("for-now", json::object())["checksum"], "xxhash");
    node_.started_ns += 1;  // as after a restart
    EXPECT_EQ(props_of("later", json::object())["checksum"], "md5");
}

TEST_F(RpcTest, AnObjectGoesInAndComesOut) {
    create("b");
    const Reply stored = put("o", "content");
    EXPECT_EQ(stored.result["size"], 7);
    EXPECT_EQ(stored.result["checksum"]["type"], "xxhash");
    const Reply got = call("object.get", {{"bucket", "b"}, {"name", "o"}});
    EXPECT_EQ(text_of(got.result["data"]), "content");
    EXPECT_EQ(got.result["version"], stored.result["version"]);
    const Reply part =
        call("object.get", {{"bucket", "b"}, {"name", "o"}, {"offset", 2}, {"length", 3}});
    EXPECT_EQ(text_of(part.result["data"]), "nte");
    EXPECT_EQ(part.result["size"], 7) << "of the whole";
    EXPECT_EQ(get("other"), "not_found");
    EXPECT_EQ(call("object.get", {{"bucket", "x"}, {"name", "o"}}).code(), "bucket_not_found");
    EXPECT_EQ(call("object.delete", {{"bucket", "b"}, {"name", "o"}}).code(), "");
    EXPECT_EQ(get("o"), "not_found");
}

TEST_F(RpcTest, LargeValuesGoInAndComeOut) {
    create("b");
    const std::string content(rpc::value_bytes_max, 'x');
    EXPECT_EQ(put("o", content).code(), "");
    EXPECT_EQ(get("o"), content);
    const Reply refused = put("p", content + "x");
    EXPECT_EQ(refused.code(), "too_large");
    EXPECT_EQ(refused.error[2]["limit"], "value_bytes");
    EXPECT_EQ(refused.error[2]["value"], 1 << 20);
    service_.put_now({.name = "b"}, "large", content + "x");
    EXPECT_EQ(get("large"), "too_large");
    const Reply part =
        call("object.get", {{"bucket", "b"}, {"name", "large"}, {"offset", 1 << 20}});
    EXPECT_EQ(text_of(part.result["data"]), "x");
}

TEST_F(RpcTest, ConditionsAreKept) {
    create("b");
    const json version = put("o", "1").result["version"];
    json again = {{"bucket", "b"}, {"name", "o"}, {"data", binary("2")}, {"if_absent", true}};
    EXPECT_EQ(call("object.put", again).code(), "condition_failed");
    again.erase("if_absent");
    again["if_version"] = version;
    EXPECT_EQ(call("object.put", again).code(), "");
    EXPECT_EQ(call("object.put", again).code(), "condition_failed") << "it moved on";
    again["if_absent"] = true;
    EXPECT_EQ(call("object.put", again).code(), "invalid");
    EXPECT_EQ(
        call("object.delete", {{"bucket", "b"}, {"name", "o"}, {"if_version", version}}).code(),
        "condition_failed");
    EXPECT_EQ(call("object.delete", {{"bucket", "b"}, {"name", "o"}, {"if_version", "?"}}).code(),
              "invalid");
}

TEST_F(RpcTest, MetadataIsKeptChangedAndCopied) {
    create("b");
    call("object.put", {{"bucket", "b"},
                        {"name", "o"},
                        {"data", binary("1")},
                        {"metadata", {{"a", "1"}, {"b", "2"}}}});
    EXPECT_EQ(
        call("object.set_metadata", {{"bucket", "b"}, {"name", "o"}, {"metadata", {{"b", "3"}}}})
            .code(),
        "");
    json stat = call("object.stat", {{"bucket", "b"}, {"name", "o"}}).result;
    EXPECT_EQ(stat["metadata"], json({{"a", "1"}, {"b", "3"}}));
    call("object.set_metadata",
         {{"bucket", "b"}, {"name", "o"}, {"metadata", {{"c", "4"}}}, {"replace", true}});
    const json copy = {{"bucket", "b"}, {"name", "o"}, {"to_bucket", "b"}, {"to_name", "copy"}};
    EXPECT_EQ(call("object.copy", copy).code(), "");
    stat = call("object.stat", {{"bucket", "b"}, {"name", "copy"}}).result;
    EXPECT_EQ(stat["metadata"], json({{"c", "4"}}));
    EXPECT_EQ(get("copy"), "1");
    json elsewhere = copy;
    elsewhere["to_bucket"] = "x";
    EXPECT_EQ(call("object.copy", elsewhere).code(), "bucket_not_found");
    EXPECT_EQ(
        call("object.set_metadata", {{"bucket", "b"}, {"name", "o"}, {"metadata", {{"b", 3}}}})
            .code(),
        "invalid");
}

TEST_F(RpcTest, ListingsGoOnWhereTheyEnded) {
    create("b");
    for (const char* name : {"a", "b", "c/1", "c/2", "d"}) put(name, "x");
    std::vector<std::string> names;
    std::string token;
    do {
        const json page =
            call("object.list", {{"bucket", "b"}, {"limit", 2}, {"token", token}}).result;
        EXPECT_LE(page["entries"].size(), 2U);
        for (const json& entry : page["entries"]) names.push_back(entry["name"]);
        token = page["token"];
    } while (!token.empty());
    EXPECT_THAT(names, ElementsAre("a", "b", "c/1", "c/2", "d"));
    const json some = call("object.list", {{"bucket", "b"},
                                           {"prefix", "c/"},
                                           {"props", {"checksum", "modified_ns", "metadata"}}})
                          .result["entries"];
    ASSERT_EQ(some.size(), 2U);
    EXPECT_EQ(some[0]["size"], 1);
    EXPECT_TRUE(some[0].contains("checksum") && some[0].contains("metadata"));
    EXPECT_EQ(call("object.list", {{"bucket", "b"}, {"props", {"colour"}}}).code(), "invalid");
    EXPECT_EQ(call("object.members", {{"bucket", "b"}, {"name", "a"}}).code(), "invalid")
        << "no shard";
}

TEST_F(RpcTest, ANameThatIsNoTextTravelsAsBytes) {
    create("b");
    const json name = binary("\xff\xfe");
    EXPECT_EQ(call("object.put", {{"bucket", "b"}, {"name", name}, {"data", binary("1")}}).code(),
              "");
    const json entries = call("object.list", {{"bucket", "b"}}).result["entries"];
    EXPECT_EQ(entries[0]["name"], name);
    EXPECT_EQ(call("object.get", {{"bucket", "b"}, {"name", name}}).code(), "");
    EXPECT_EQ(call("object.get", {{"bucket", "b"}, {"name", binary("text")}}).code(), "invalid");
    // A sentence that quotes it can be read by strict clients all the same.
    const Reply refused = call("bucket.stat", {{"bucket", name}});
    EXPECT_EQ(refused.code(), "invalid");
    EXPECT_TRUE(rpc::is_utf8(std::string(refused.error[1])));
}

TEST_F(RpcTest, EachFailureOfTheServiceHasItsName) {
    create("b");
    put("o", "1");
    const std::pair<Errc, std::string> table[] = {
        {Errc::not_found, "not_found"}, {Errc::corrupt, "corrupt"},
        {Errc::unavailable, "busy"},    {Errc::io_error, "internal"},
        {Errc::denied, "refused"},      {Errc::not_implemented, "not_implemented"},
        {Errc::too_large, "too_large"}};
    for (const auto& [code, name] : table) {
        service_.fail_next(code);
        EXPECT_EQ(get("o"), name);
    }
    service_.fail_next(Errc::full);
    EXPECT_EQ(put("o", "2").code(), "full");
}

// -------------------------------------------------------------------------------------------------
// Arguments

json sample(rpc::Type type) {
    switch (type) {
        case rpc::Type::boolean:
            return true;
        case rpc::Type::integer:
        case rpc::Type::unsigned_integer:
            return 1;
        case rpc::Type::floating:
            return 0.5;
        case rpc::Type::str:
            return "text";
        case rpc::Type::bin:
            return binary("bytes");
        case rpc::Type::array:
            return json::array();
        case rpc::Type::map:
            return json::object();
        default:
            return nullptr;
    }
}

bool is_wrong(rpc::Type type, const json& value) {
    if (type == rpc::Type::any) return false;
    if (type == rpc::Type::floating && value.is_number()) return false;
    if (type == rpc::Type::integer && value.is_number_integer()) return false;
    const json right = sample(type);
    if (type == rpc::Type::unsigned_integer) return !value.is_number_unsigned() && value != 1;
    return right.type() != value.type();
}

TEST_F(RpcTest, EachArgumentOfEachMethodHasItsType) {
    create("text");
    const json values[] = {nullptr,
                           true,
                           1,
                           -1,
                           0.5,
                           "text",
                           binary("text"),
                           json::array(),
                           json::object(),
                           json::binary({1}, 5)};
    size_t tried = 0;
    for (const rpc::Method& method : rpc::methods()) {
        json right = json::object();
        for (const rpc::Parameter& parameter : method.parameters) {
            right[std::string(rpc::text_of(parameter.name))] = sample(parameter.type);
        }
        for (const rpc::Parameter& parameter : method.parameters) {
            const std::string key(rpc::text_of(parameter.name));
            for (const json& value : values) {
                const bool is_left_out = value.is_null() && !parameter.is_required;
                if (is_left_out || !is_wrong(parameter.type, value)) continue;
                // nlohmann's own binary subtypes are extensions on the wire.
                if (value.is_binary() && !value.get_binary().has_subtype() &&
                    parameter.type == rpc::Type::bin) {
                    continue;
                }
                json wrong = right;
                wrong[key] = value;
                const Reply reply = call(std::string(method.name), wrong);
                EXPECT_EQ(reply.code(), "invalid") << method.name << ' ' << key << ' ' << value;
                EXPECT_THAT(std::string(reply.error.at(1)), HasSubstr(key));
                ++tried;
            }
            if (!parameter.is_required) continue;
            json missing = right;
            missing.erase(key);
            EXPECT_EQ(call(std::string(method.name), missing).code(), "invalid") << method.name;
        }
        json more = right;
        more["colour"] = 1;
        EXPECT_EQ(call(std::string(method.name), more).code(), "invalid") << method.name;
    }
    EXPECT_GT(tried, 300U);
}

TEST_F(RpcTest, AnArgumentComesOnce) {
    // No JSON library writes a key twice.
    std::string message = packed(json::array({0, 1, "bucket.stat", json::array()}));
    message.pop_back();
    message += "\x91\x82";
    message += packed("bucket") + packed("b") + packed("bucket") + packed("c");
    EXPECT_TRUE(take(message));
    EXPECT_THAT(std::string(replies().at(0).at(2).at(1)), HasSubstr("twice"));
}

// -------------------------------------------------------------------------------------------------
// Messages

TEST_F(RpcTest, WithoutAValidIdTheConnectionEnds) {
    using namespace std::string_view_literals;
    const json messages[] = {1,
                             "text",
                             json::object(),
                             json::array(),
                             json::array({0}),
                             json::array({0, -1, "rpc.ping", json::array()}),
                             json::array({0, "1", "rpc.ping", json::array()}),
                             json::array({0, nullptr, "rpc.ping", json::array()}),
                             json::array({0, uint64_t{1} << 32, "rpc.ping", json::array()}),
                             json::array({0, 1.0, "rpc.ping", json::array()}),
                             json::array({0, json::array({1}), "rpc.ping", json::array()}),
                             json::array({1, 1, nullptr, nullptr}),
                             json::array({3, 1, "rpc.ping", json::array()}),
                             json::array({"0", 1, "rpc.ping", json::array()}),
                             json::array({2, "rpc.ping"}),
                             json::array({2, 1, "rpc.ping", json::array()})};
    for (const json& message : messages) {
        EXPECT_FALSE(take(packed(message))) << message;
        EXPECT_TRUE(replies().empty()) << message;
        close_session();
        open_session(true);
    }
    EXPECT_FALSE(take("\xc1"sv));
    EXPECT_FALSE(take("\x94\x00"sv));
}

TEST_F(RpcTest, WhatElseIsWrongWithARequestIsAnswered) {
    const std::pair<json, std::string> messages[] = {
        {json::array({0, 7}), "invalid"},
        {json::array({0, 7, "rpc.ping"}), "invalid"},
        {json::array({0, 7, "rpc.ping", json::array(), 1}), "invalid"},
        {json::array({0, 7, 1, json::array()}), "invalid"},
        {json::array({0, 7, json::array({"rpc.ping"}), json::array()}), "invalid"},
        {json::array({0, 7, "rpc.pong", json::array()}), "unknown_method"},
        {json::array({0, 7, "", json::array()}), "unknown_method"},
        {json::array({0, 7, "rpc.ping", nullptr}), "invalid"},
        {json::array({0, 7, "rpc.ping", json::object()}), "invalid"},
        {json::array({0, 7, "rpc.ping", json::array({1})}), "invalid"},
        {json::array({0, 7, "rpc.ping", json::array({json::object(), 1})}), "invalid"},
        {json::array({0, UINT32_MAX, "rpc.pong", json::array()}), "unknown_method"}};
    for (const auto& [message, code] : messages) {
        EXPECT_TRUE(take(packed(message))) << message;
        const std::vector<json> all = replies();
        ASSERT_EQ(all.size(), 1U) << message;
        EXPECT_EQ(all[0].at(1), message.at(1));
        EXPECT_EQ(all[0].at(2).at(2).at("name"), code) << message;
        EXPECT_TRUE(all[0].at(3).is_null());
    }
}

TEST_F(RpcTest, MoreValuesThanALimitAreTooLarge) {
    const json many(std::vector<int>(rpc::message_values_max, 1));
    EXPECT_TRUE(take(packed(json::array({0, 7, "rpc.ping", many}))));
    EXPECT_EQ(replies().at(0).at(2).at(2).at("limit"), "message_values");
}

TEST_F(RpcTest, NotificationsAreDoneAndNotAnswered) {
    create("b");
    const json arguments = {{"bucket", "b"}, {"name", "o"}, {"data", binary("1")}};
    EXPECT_TRUE(take(packed(json::array({2, "object.put", json::array({arguments})}))));
    EXPECT_TRUE(take(packed(json::array({2, "object.get", json::array({arguments})}))));
    EXPECT_TRUE(take(packed(json::array({2, "no.such", json::array()}))));
    EXPECT_TRUE(take(packed(json::array({2, 5, json::array()}))));
    EXPECT_TRUE(replies().empty());
    EXPECT_EQ(get("o"), "1");
}

TEST_F(RpcTest, CallsAreCountedByOperationAndCode) {
    create("b");
    put("o", "1234");
    get("o");
    get("absent");
    const auto& counts = context_.metrics.counts(static_cast<size_t>(Door::rpc),
                                                 static_cast<size_t>(Operation::get));
    EXPECT_THAT(counts, ElementsAre(std::pair<uint16_t, uint64_t>{0, 1},
                                    std::pair<uint16_t, uint64_t>{1, 1}));
    EXPECT_EQ(context_.metrics.received_bytes(static_cast<size_t>(Operation::put)), 4U);
    EXPECT_EQ(context_.metrics.sent_bytes(static_cast<size_t>(Operation::get)), 4U);
}

TEST_F(RpcTest, ASessionWithMuchToSendIsFull) {
    create("b");
    put("o", std::string(1 << 20, 'x'));
    const std::string request =
        packed(json::array({0, 1, "object.get", json::array({{{"bucket", "b"}, {"name", "o"}}})}));
    size_t taken = 0;
    while (!session_->is_full()) {
        ASSERT_TRUE(session_->take(as_bytes(request)));
        ASSERT_LT(++taken, 100U);
    }
    EXPECT_GE(session_->outbox().waiting_bytes(), rpc::waiting_bytes_max);
    session_->outbox().close();
    EXPECT_FALSE(session_->is_full()) << "nobody reads: what is answered is thrown away";
    ASSERT_TRUE(session_->take(as_bytes(request)));
    EXPECT_LT(session_->outbox().waiting_bytes(), 1024U);
}

// The table of METHODS.md is what the declarations say: PENSTOCK_WRITE_DOCS=1 writes it.
TEST(RpcDocumentTest, TheTableIsWhatTheDeclarationsSay) {
    std::ostringstream table;
    table << "# The methods of MessagePack-RPC\n\nMade from the declarations in `methods.cc` by "
             "`PENSTOCK_WRITE_DOCS=1 rpc_calls_test`; a test compares.\nA `?` marks what may be "
             "left out; **bold** methods change something.\n\n"
             "| method | does | arguments | result | errors |\n|---|---|---|---|---|\n";
    for (const rpc::Method& method : rpc::methods()) {
        const char* mark = method.changes ? "**" : "";
        table << "| " << mark << '`' << method.name << '`' << mark << " | " << method.doc << " |";
        for (const rpc::Parameter& parameter : method.parameters) {
            table << " `" << rpc::text_of(parameter.name) << (parameter.is_required ? "" : "?")
                  << "` " << rpc::name_of(parameter.type);
        }
        table << " |";
        for (const rpc::ResultField& field : method.results) {
            table << " `" << field.name << "` " << rpc::name_of(field.type);
        }
        table << " |";
        for (const rpc::Code code : method.errors) table << ' ' << rpc::name_of(code);
        table << " |\n";
    }
    table << "\n| error | code | means |\n|---|---|---|\n";
    for (const rpc::CodeText& code : rpc::codes) {
        table << "| `" << code.name << "` | " << static_cast<int>(code.code) << " | " << code.doc
              << " |\n";
    }
    table << "\n| limit | value |\n|---|---|\n";
    for (const rpc::Limit& limit : rpc::limits()) {
        table << "| `" << limit.name << "` | " << limit.value << " |\n";
    }
    const std::string path = METHODS_FILE;
    if (std::getenv("PENSTOCK_WRITE_DOCS") != nullptr) std::ofstream(path) << table.str();
    std::ifstream file(path);
    std::stringstream written;
    written << file.rdbuf();
    EXPECT_EQ(written.str(), table.str());
}

}  // namespace
}  // namespace penstock::node::testing
