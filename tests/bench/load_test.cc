// What penstock-bench counts with: quantiles, draws, sizes, and the replies of two protocols, cut
// at every byte.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "bench/load/histogram.h"
#include "bench/load/protocol.h"
#include "bench/load/workload.h"

namespace penstock::bench {
namespace {

TEST(HistogramTest, QuantilesAreRightWithinASliceAndNeverTooLow) {
    Histogram histogram;
    for (uint64_t value = 1; value <= 1'000'000; ++value) histogram.record(value);
    for (const double share : {0.001, 0.5, 0.9, 0.99, 0.999, 1.0}) {
        const double exact = share * 1e6;
        const auto found = static_cast<double>(histogram.quantile_ns(share));
        EXPECT_GE(found, exact) << share;
        EXPECT_LE(found, exact * (1 + 1.0 / 64)) << share;
    }
    EXPECT_EQ(histogram.max_ns(), 1'000'000u);
}

TEST(HistogramTest, HoldsTheSmallestAndTheLargest) {
    Histogram histogram;
    EXPECT_EQ(histogram.quantile_ns(0.5), 0u);
    histogram.record(0);
    histogram.record(63);
    histogram.record(UINT64_MAX);
    EXPECT_EQ(histogram.quantile_ns(0.01), 0u);
    EXPECT_EQ(histogram.quantile_ns(0.5), 63u);
    uint64_t last = 0, sum = 0;
    histogram.for_each([&](uint64_t upper_ns, uint64_t count) {
        EXPECT_GE(upper_ns, last);
        last = upper_ns;
        sum += count;
    });
    EXPECT_EQ(sum, 3u);
}

TEST(HistogramTest, AddsUp) {
    Histogram one, other;
    for (uint64_t value = 0; value < 1000; ++value) (value % 2 == 0 ? one : other).record(value);
    one.add(other);
    EXPECT_EQ(one.count(), 1000u);
    EXPECT_EQ(one.max_ns(), 999u);
    EXPECT_NEAR(static_cast<double>(one.quantile_ns(0.5)), 500, 10);
}

TEST(ZipfTest, DrawsRanksAsOftenAsItSays) {
    for (const double exponent : {0.5, 1.0, 1.1, 2.0}) {
        constexpr uint64_t count = 1000, draws = 400'000;
        const Zipf zipf(count, exponent);
        Random random(3);
        std::vector<double> drawn(count);
        for (uint64_t draw = 0; draw < draws; ++draw) drawn.at(zipf.draw(random)) += 1;
        double sum = 0;
        for (uint64_t rank = 1; rank <= count; ++rank) {
            sum += std::pow(static_cast<double>(rank), -exponent);
        }
        for (const uint64_t rank : std::initializer_list<uint64_t>{1, 2, 3, 10, 100}) {
            const double expected = draws * std::pow(static_cast<double>(rank), -exponent) / sum;
            // Five standard deviations.
            EXPECT_NEAR(drawn[rank - 1], expected, 5 * std::sqrt(expected) + 1)
                << exponent << ' ' << rank;
        }
    }
}

TEST(PermutationTest, GivesEachNumberOnce) {
    for (const uint64_t count : std::initializer_list<uint64_t>{1, 2, 3, 5, 64, 1000, 4097}) {
        const Permutation order(count, 7);
        std::set<uint64_t> seen;
        for (uint64_t index = 0; index < count; ++index) seen.insert(order.at(index));
        EXPECT_EQ(seen.size(), count);
        EXPECT_LT(*seen.rbegin(), count);
    }
}

TEST(WorkloadTest, AnEpochReadsEachObjectOnceHoweverManyThreads) {
    Options options;
    options.mix[static_cast<size_t>(Op::get)] = 100;
    options.objects = 1000;
    options.popularity = Popularity::epoch;
    options.threads = 3;
    std::map<uint64_t, int> read;
    for (uint32_t thread = 0; thread < options.threads; ++thread) {
        Workload workload(options, thread);
        const uint64_t own = (options.objects - thread + 2) / 3;
        for (uint64_t draw = 0; draw < own; ++draw) ++read[workload.next()->object];
    }
    EXPECT_EQ(read.size(), options.objects);
    for (const auto& [object, count] : read) EXPECT_EQ(count, 1) << object;
}

TEST(WorkloadTest, AMixIsDrawnInItsShares) {
    Options options;
    options.mix[static_cast<size_t>(Op::get)] = 90;
    options.mix[static_cast<size_t>(Op::put)] = 10;
    Workload workload(options, 0);
    int puts = 0;
    for (int draw = 0; draw < 100'000; ++draw) puts += workload.next()->op == Op::put ? 1 : 0;
    EXPECT_NEAR(puts, 10'000, 500);
}

TEST(WorkloadTest, ARangeLiesInItsObject) {
    Options options;
    options.mix[static_cast<size_t>(Op::range)] = 100;
    options.sizes = *Sizes::parse("uniform:1-10000");
    Workload workload(options, 0);
    for (int draw = 0; draw < 10'000; ++draw) {
        const Operation operation = *workload.next();
        EXPECT_GT(operation.bytes, 0u);
        EXPECT_LE(operation.offset + operation.bytes, options.sizes.of(operation.object));
    }
}

TEST(SizesTest, AreWhatTheTextSays) {
    EXPECT_EQ(Sizes::parse("10MB")->of(3), 10'000'000u);
    const Sizes uniform = *Sizes::parse("uniform:1KiB-2KiB");
    const Sizes shares = *Sizes::parse("4KiB=90,1MiB=10");
    const Sizes lognormal = *Sizes::parse("lognormal:64KiB:1");
    int large = 0, below_median = 0;
    for (uint64_t object = 0; object < 10'000; ++object) {
        EXPECT_GE(uniform.of(object), 1024u);
        EXPECT_LE(uniform.of(object), 2048u);
        EXPECT_EQ(uniform.of(object), uniform.of(object));
        large += shares.of(object) == 1 << 20 ? 1 : 0;
        below_median += lognormal.of(object) < 64 << 10 ? 1 : 0;
    }
    EXPECT_NEAR(large, 1000, 150);
    EXPECT_NEAR(below_median, 5000, 250);
    for (const char* wrong : {"", "x", "1XB", "-1", "uniform:2-1", "uniform:1", "1=0", "1=a",
                              "lognormal:1", "nan", "1e999", "lognormal:1:nan"}) {
        EXPECT_FALSE(Sizes::parse(wrong).has_value()) << wrong;
    }
}

TEST(TargetTest, IsWhatTheTextSays) {
    const Target plain = *parse_target("static+http://127.0.0.1:80/a/b/");
    EXPECT_EQ(plain.prefix, "/a/b");
    EXPECT_EQ(parse_target("unix:/run/x")->host, "/run/x");
    EXPECT_EQ(parse_target("rpc://h:51081")->port, 51081);
    for (const char* wrong :
         {"", "unix:", "https://h", "http://", "http://h:x", "http://h:99999"}) {
        EXPECT_FALSE(parse_target(wrong).has_value()) << wrong;
    }
}

// Shows `bytes` to a reader up to `cut`, then the rest; gives what it made of them.
std::vector<Reply> read_in_two(const Protocol& protocol, std::string_view bytes, size_t cut,
                               std::vector<std::string>& errors) {
    const std::unique_ptr<ReplyReader> reader = protocol.make_reader();
    std::vector<Reply> replies;
    const auto on_reply = [&](const Reply& reply) {
        replies.push_back(reply);
        errors.emplace_back(reply.error);
    };
    const std::optional<size_t> used = reader->read(as_bytes(bytes.substr(0, cut)), on_reply);
    EXPECT_TRUE(used.has_value());
    if (!used) return replies;
    EXPECT_TRUE(reader->read(as_bytes(bytes.substr(*used)), on_reply).has_value());
    EXPECT_TRUE(reader->is_between_replies());
    return replies;
}

TEST(HttpRepliesTest, AreReadWhereverTheyAreCut) {
    Options options;
    const std::unique_ptr<Protocol> protocol = make_http_protocol(options);
    const std::string_view bytes =
        "HTTP/1.1 100 Continue\r\n\r\n"
        "HTTP/1.1 200 OK\r\ncontent-LENGTH: 5\r\n\r\nhello"
        "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngone"
        "HTTP/1.1 206 Partial Content\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n"
        "0123456789\r\n0\r\nTrailer: 1\r\n\r\n"
        "HTTP/1.1 204 No Content\r\n\r\n";
    for (size_t cut = 0; cut <= bytes.size(); ++cut) {
        std::vector<std::string> errors;
        const std::vector<Reply> replies = read_in_two(*protocol, bytes, cut, errors);
        ASSERT_EQ(replies.size(), 4u) << cut;
        EXPECT_EQ(replies[0].bytes, 5u);
        EXPECT_FALSE(replies[0].is_error);
        EXPECT_TRUE(replies[1].is_error);
        EXPECT_TRUE(replies[1].closes);
        EXPECT_THAT(errors[1], testing::HasSubstr("404"));
        EXPECT_EQ(replies[2].bytes, 13u);
        EXPECT_FALSE(replies[3].is_error);
    }
}

TEST(HttpRepliesTest, WhatIsNoHttpEndsTheConnection) {
    Options options;
    for (const std::string_view bytes :
         {"SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n",
          "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n",
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
        const auto reader = make_http_protocol(options)->make_reader();
        EXPECT_FALSE(reader->read(as_bytes(bytes), [](const Reply&) {}).has_value()) << bytes;
    }
}

TEST(RpcRepliesTest, AreReadWhereverTheyAreCut) {
    using std::string_literals::operator""s;
    Options options;
    const std::unique_ptr<Protocol> protocol = make_rpc_protocol(options);
    // [1, 7, nil, {"data": bin 3}], [1, 300, [404, "no", {}], nil]
    const std::string bytes = "\x94\x01\x07\xc0\x81\xa4"s + "data\xc4\x03" + "abc" +
                              "\x94\x01\xcd\x01\x2c\x93\xcd\x01\x94\xa2no\x80\xc0"s;
    for (size_t cut = 0; cut <= bytes.size(); ++cut) {
        std::vector<std::string> errors;
        const std::vector<Reply> replies = read_in_two(*protocol, bytes, cut, errors);
        ASSERT_EQ(replies.size(), 2u) << cut;
        EXPECT_EQ(replies[0].id, 7u);
        EXPECT_FALSE(replies[0].is_error);
        EXPECT_GE(replies[0].bytes, 3u);
        EXPECT_EQ(replies[1].id, 300u);
        EXPECT_TRUE(replies[1].is_error);
        EXPECT_THAT(errors[1], testing::HasSubstr("no"));
    }
}

TEST(RpcRepliesTest, WhatIsNoReplyEndsTheConnection) {
    Options options;
    for (const std::string_view bytes : {std::string_view("\xc1"), std::string_view("HTTP/1.1"),
                                         std::string_view("\x93\x02\xa1x\x90")}) {
        const auto reader = make_rpc_protocol(options)->make_reader();
        EXPECT_FALSE(reader->read(as_bytes(bytes), [](const Reply&) {}).has_value());
    }
}

}  // namespace
}  // namespace penstock::bench
