// Arguments and settings: who wins, what is refused, and what the refusal says.
#include "node/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "io/base/units.h"
#include "node/settings_file.h"

namespace penstock::node {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class SettingsTest : public testing::Test {
protected:
    void TearDown() override { std::filesystem::remove(path_); }

    static std::expected<Arguments, SettingsError> parse(std::vector<const char*> words) {
        words.insert(words.begin(), "penstockd");
        return parse_arguments(static_cast<int>(words.size()), words.data());
    }
    std::expected<Arguments, SettingsError> parse_file(const std::string& text,
                                                       std::vector<const char*> words = {}) {
        std::ofstream(path_) << text;
        words.push_back("--settings");
        words.push_back(path_.c_str());
        return parse(std::move(words));
    }

    std::string path_ = testing::TempDir() + "settings_test_" + std::to_string(getpid()) + ".toml";
};

TEST_F(SettingsTest, OneDirectoryIsEnough) {
    const auto arguments = parse({"--data", "d"});
    ASSERT_TRUE(arguments) << arguments.error().text;
    const Settings& settings = arguments->settings;
    EXPECT_THAT(settings.data, ElementsAre("d"));
    EXPECT_THAT(settings.http, ElementsAre(io::Address{"127.0.0.1:51080"}));
    EXPECT_EQ(settings.io_backend, io::Backend::automatic);
    EXPECT_TRUE(settings.not_implemented.empty());
}

TEST_F(SettingsTest, FlagsWinOverTheFile) {
    const auto arguments = parse_file(
        "data = \"of-file\"\ncores = 7\nio_backend = \"epoll\"\nhttp = [\"127.0.0.1:1\"]\n",
        {"--cores", "3", "--http", "127.0.0.1:2", "--http", "127.0.0.1:3"});
    ASSERT_TRUE(arguments) << arguments.error().text;
    EXPECT_THAT(arguments->settings.data, ElementsAre("of-file"));
    EXPECT_EQ(arguments->settings.cores, 3U);
    EXPECT_EQ(arguments->settings.io_backend, io::Backend::epoll);
    EXPECT_THAT(arguments->settings.http,
                ElementsAre(io::Address{"127.0.0.1:2"}, io::Address{"127.0.0.1:3"}));
}

TEST_F(SettingsTest, EverySectionIsRead) {
    const auto arguments = parse_file(R"(
data = ["d"]
log_level = "warning"
insecure = true
[store]
segment_bytes = "16MiB"
reserve_bytes = 5000000
compaction = false
[archive]
index_cache_bytes = "1 GB"
[limits]
connections_max = 10
idle_seconds = 7
)");
    ASSERT_TRUE(arguments) << arguments.error().text;
    const Settings& settings = arguments->settings;
    EXPECT_EQ(settings.log_level, LogLevel::warning);
    EXPECT_TRUE(settings.is_insecure);
    EXPECT_EQ(settings.store.segment_bytes, 16_MiB);
    EXPECT_EQ(settings.store.reserve_bytes, 5'000'000U);
    EXPECT_FALSE(settings.store.is_compacting);
    EXPECT_EQ(settings.archive.index_cache_bytes, 1'000'000'000U);
    EXPECT_EQ(settings.http_limits.connections_max, 10U);
    EXPECT_EQ(settings.http_limits.idle_timeout_ns, 7 * ns_per_s);
}

TEST_F(SettingsTest, AnErrorInTheFileSaysWhereAndWhat) {
    const std::pair<const char*, const char*> cases[] = {
        {"data = \"d\"\ncores = 1000\n", ":2: cores: must be from 0 to 256"},
        {"data = \"d\"\n\n[store]\nsegment_bytes = \"lots\"\n", ":4: store.segment_bytes: "},
        {"data = \"d\"\ntypo = 1\n", ":2: typo: there is no such setting"},
        {"data = \"d\"\n[nosuch]\nkey = 1\n", ":3: nosuch.key: there is no such setting"},
        {"data = 3\n", ":1: data: must be a text or a list of texts"},
        {"data = \"d\"\ninsecure = \"yes\"\n", ":2: insecure: must be true or false"},
        {"data = \"d\"\nhttp = \"nowhere\"\n", ":2: http: "},
        {"data = \"d\"\nlog_level = \"loud\"\n", ":2: log_level: "},
        {"data = \"d\n", ":1: "},
    };
    for (const auto& [text, expected] : cases) {
        const auto arguments = parse_file(text);
        ASSERT_FALSE(arguments) << text;
        EXPECT_THAT(arguments.error().text, StartsWith(path_ + expected)) << text;
        EXPECT_EQ(arguments.error().text.find('\n'), std::string::npos) << text;
    }
}

TEST_F(SettingsTest, LettersBeyondAsciiAreForTextsAndComments) {
    const auto good =
        parse_file("# Größe \"ü' ü\ndata = \"Verzeichnis \\\"ä\" # é\nready_file='ø'\n");
    ASSERT_TRUE(good) << good.error().text;
    EXPECT_THAT(good->settings.data, ElementsAre("Verzeichnis \"ä"));
    EXPECT_EQ(good->settings.ready_file, "ø");
}

// Each names the line. Of the letters, toml++ does not know the kind; at "[" it would assert.
TEST_F(SettingsTest, WhatIsNoTomlIsAnErrorWithItsLine) {
    for (const char* text :
         {"\n[\ncores = 1", "\n[\x01store]", "\n[%]", "\n= 1", "\n[a", "\ncores", "\nü = 1",
          "\n\"data\" ѴѴ = 1", "\ndata = 'a' ü", "\ndata =+[\"/О\"]"}) {
        const auto bad = parse_file(text);
        ASSERT_FALSE(bad) << text;
        EXPECT_THAT(bad.error().text, StartsWith(path_ + ":")) << text;
    }
}

TEST_F(SettingsTest, OtherHostsAreServedOnlyWhenThatIsSaid) {
    const auto refused = parse({"--data", "d", "--http", "0.0.0.0:1"});
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().text, HasSubstr("--insecure"));
    EXPECT_TRUE(parse({"--data", "d", "--http", "0.0.0.0:1", "--insecure"}));
    EXPECT_TRUE(parse({"--data", "d", "--http", "[::1]:1"}));
    EXPECT_TRUE(parse({"--data", "d", "--http", "off"}));
}

TEST_F(SettingsTest, WhatIsNotBuiltSaysSo) {
    const auto arguments = parse({"--data", "d", "--bus", "127.0.0.1:1"});
    ASSERT_TRUE(arguments);
    ASSERT_EQ(arguments->settings.not_implemented.size(), 1U);
    EXPECT_THAT(arguments->settings.not_implemented[0], HasSubstr("--bus is not implemented"));
    EXPECT_THAT(parse({"--data", "d", "--join", "x"}).error().text, HasSubstr("not implemented"));
}

TEST_F(SettingsTest, SeveralMountpaths) {
    const auto several = parse({"--data", "d", "--data", "e", "--allow-missing-mountpath"});
    ASSERT_TRUE(several);
    EXPECT_THAT(several->settings.data, ElementsAre("d", "e"));
    EXPECT_TRUE(several->settings.allows_missing_mountpath);
    EXPECT_FALSE(parse({"--data", "d", "--data", ""}));
}

TEST_F(SettingsTest, RpcHasAnAddressAndAPath) {
    const auto plain = parse({"--data", "d"});
    ASSERT_TRUE(plain);
    EXPECT_EQ(plain->settings.rpc->text, "127.0.0.1:51081");
    EXPECT_FALSE(plain->settings.is_rpc_chosen);
    EXPECT_EQ(plain->settings.rpc_socket, "");

    const auto chosen = parse({"--data", "d", "--rpc", "[::1]:0", "--rpc-socket", "s"});
    ASSERT_TRUE(chosen);
    EXPECT_EQ(chosen->settings.rpc->text, "[::1]:0");
    EXPECT_TRUE(chosen->settings.is_rpc_chosen);
    EXPECT_TRUE(chosen->settings.rpc_socket.starts_with('/'));
    EXPECT_TRUE(chosen->settings.rpc_socket.ends_with("/s"));
    EXPECT_FALSE(parse({"--data", "d", "--rpc", "off"})->settings.rpc);
    EXPECT_EQ(parse({"--data", "d", "--rpc-socket", "off"})->settings.rpc_socket, "");

    EXPECT_FALSE(parse({"--data", "d", "--rpc", "somewhere"}));
    EXPECT_FALSE(parse({"--data", "d", "--rpc", "unix:/s"}));
    EXPECT_FALSE(parse({"--data", "d", "--rpc-socket", std::string(200, 'x').c_str()}));
    const auto outside = parse({"--data", "d", "--rpc", "0.0.0.0:1"});
    ASSERT_FALSE(outside);
    EXPECT_THAT(outside.error().text, HasSubstr("--insecure"));
    EXPECT_TRUE(parse({"--data", "d", "--rpc", "0.0.0.0:1", "--insecure"}));
}

TEST_F(SettingsTest, SizesHaveBinaryAndDecimalUnits) {
    EXPECT_EQ(parse_size("65536"), 65536U);
    EXPECT_EQ(parse_size("64KiB"), 65536U);
    EXPECT_EQ(parse_size("64 KB"), 64000U);
    for (const char* bad : {"", "KiB", "-1", "1.5MiB", "1XB", "99999999999999TiB"}) {
        EXPECT_FALSE(parse_size(bad)) << bad;
    }
}

TEST_F(SettingsTest, HelpAndVersionArePrinted) {
    EXPECT_THAT(*parse({"--version"})->printed, StartsWith("penstockd "));
    EXPECT_THAT(*parse({"--help"})->printed, HasSubstr("--io-backend"));
    EXPECT_THAT(parse({}).error().text, HasSubstr("--data"));
}

}  // namespace
}  // namespace penstock::node
