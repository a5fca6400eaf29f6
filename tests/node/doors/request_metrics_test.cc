#include "node/doors/request_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/base/units.h"

namespace penstock::node {
namespace {

using io::http::Method;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

Operation operation(Method method, std::string_view path, std::string_view query = "") {
    io::http::RequestHead head;
    head.method = method;
    head.path = path;
    head.query = query;
    return operation_of(head);
}

TEST(RequestMetricsTest, TheOperationIsSeenInMethodAndPath) {
    EXPECT_EQ(operation(Method::get, "/v1/objects/b/o"), Operation::get);
    EXPECT_EQ(operation(Method::get, "//v1//objects/b/o"), Operation::get);
    EXPECT_EQ(operation(Method::get, "/v1/objects/b/o.tar", "archpath=x"), Operation::member);
    EXPECT_EQ(operation(Method::head, "/v1/objects/b/o"), Operation::head);
    EXPECT_EQ(operation(Method::put, "/ais/b/o"), Operation::put);
    EXPECT_EQ(operation(Method::del, "/v1/objects/b/o"), Operation::del);
    EXPECT_EQ(operation(Method::get, "/v1/buckets/b"), Operation::list);
    EXPECT_EQ(operation(Method::get, "/ais/b"), Operation::list);
    EXPECT_EQ(operation(Method::post, "/v1/buckets/b"), Operation::bucket);
    EXPECT_EQ(operation(Method::get, "/v1/cluster"), Operation::cluster);
    EXPECT_EQ(operation(Method::get, "/"), Operation::other);
    EXPECT_EQ(operation(Method::get, ""), Operation::other);
}

TEST(RequestMetricsTest, CountsOfCoresAddUp) {
    RequestMetrics one;
    RequestMetrics two;
    one.record({Door::ais, Operation::get, 200, 0, 10, 60 * ns_per_us});
    one.record({Door::ais, Operation::get, 404, 0, 5, 60 * ns_per_us});
    two.record({Door::ais, Operation::get, 200, 3, 20, 20 * ns_per_s});
    one.add(two);
    EXPECT_THAT(one.counts(0, 0), ElementsAre(Pair(200, 2), Pair(404, 1)));
    EXPECT_EQ(one.received_bytes(0), 3U);
    EXPECT_EQ(one.sent_bytes(0), 35U);
    EXPECT_EQ(one.durations(0).count(), 3U);
    EXPECT_EQ(one.durations(0).counts()[1], 2U);  // above 50 us, up to 100 us
    EXPECT_EQ(one.durations(0).counts().back(), 1U);
}

TEST(RequestMetricsTest, TheTextIsPrometheus) {
    MetricsText text;
    text.family("x_total", "counter", "What x is.");
    text.sample("x_total", {{"a", "q\"\\\n"}, {"b", "2"}}, uint64_t{7});
    Histogram histogram;
    histogram.record(60 * ns_per_us);
    text.histogram("y", "op", "get", histogram);
    EXPECT_THAT(text.text(), HasSubstr("# HELP x_total What x is.\n# TYPE x_total counter\n"
                                       "x_total{a=\"q\\\"\\\\\\n\",b=\"2\"} 7\n"));
    EXPECT_THAT(text.text(), HasSubstr("y_bucket{op=\"get\",le=\"5e-05\"} 0\n"
                                       "y_bucket{op=\"get\",le=\"0.0001\"} 1\n"));
    EXPECT_THAT(text.text(), HasSubstr("y_bucket{op=\"get\",le=\"+Inf\"} 1\n"));
    EXPECT_THAT(text.text(), HasSubstr("y_count{op=\"get\"} 1\n"));
}

}  // namespace
}  // namespace penstock::node
