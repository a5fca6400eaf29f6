// A request's head: what finding its end and splitting it costs us, with every rule of ours, and
// what Boost.Beast's parser alone costs, which takes more than it should.
#include <benchmark/benchmark.h>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <string>

#include "io/base/bytes.h"
#include "io/http/head.h"

namespace penstock::io::http {
namespace {

// As wrk sends it, and as AIStore's Python SDK does.
const std::string heads[] = {
    "GET /v1/objects/bench/1KiB?provider=ais HTTP/1.1\r\nHost: 127.0.0.1:51080\r\n\r\n",
    "GET /v1/objects/train/images/000017.jpg?provider=ais&namespace= HTTP/1.1\r\n"
    "Host: 127.0.0.1:51080\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
    "Connection: keep-alive\r\nContent-Type: application/json\r\n"
    "User-Agent: ais/python/2.0.0\r\nRange: bytes=0-1048575\r\n\r\n",
};

void ours(benchmark::State& state) {
    const Bytes bytes = as_bytes(heads[state.range(0)]);
    const HeadLimits limits;
    RequestHead head;
    for (auto step : state) {
        const auto end = find_head_end(bytes, 0, limits);
        benchmark::DoNotOptimize(parse_request_head(bytes.first(**end), limits, head));
    }
}
BENCHMARK(ours)->Arg(0)->Arg(1);

void beast(benchmark::State& state) {
    namespace http = boost::beast::http;
    const std::string& text = heads[state.range(0)];
    for (auto step : state) {
        http::request_parser<http::empty_body> parser;
        boost::beast::error_code error;
        benchmark::DoNotOptimize(parser.put(boost::asio::buffer(text.data(), text.size()), error));
    }
}
BENCHMARK(beast)->Arg(0)->Arg(1);

}  // namespace
}  // namespace penstock::io::http

BENCHMARK_MAIN();
