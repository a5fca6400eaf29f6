// What penstock-bench was asked for (contracts/interface.md, section 9, and what we added to it).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/load/sizes.h"
#include "io/base/result.h"

namespace penstock::bench {

enum class Op : uint8_t { get, put, range, member, get_many, list };
constexpr size_t op_count = 6;
// As it is written on the command line: "get_many".
const char* op_name(Op op);

enum class Dialect : uint8_t {
    ais,    // AIStore's /v1
    plain,  // static files below a prefix
    s3,     // paths of S3, without signatures
    rpc,    // MessagePack-RPC
};

struct Target {
    std::string text;  // as it was given
    Dialect dialect = Dialect::ais;
    bool is_unix = false;
    std::string host;  // or the socket's path
    uint16_t port = 0;
    std::string prefix;  // of the paths, without a '/' at its end

    bool is_writable() const { return dialect != Dialect::plain; }
};

// `http://H:P`, `static+http://H:P/PREFIX`, `s3+http://H:P`, `rpc://H:P`, `unix:PATH`.
Result<Target> parse_target(const std::string& text);

enum class Popularity : uint8_t {
    uniform,
    zipf,
    epoch,  // each once in random order, then again in another one
};

struct Options {
    Target target;
    std::string bucket = "bench";
    // Of a hundred operations: how many of each kind.
    std::array<uint32_t, op_count> mix{};
    uint64_t objects = 1000;
    Sizes sizes;  // of objects; of members, when members are read
    Popularity popularity = Popularity::uniform;
    double zipf_exponent = 1;
    double rate_per_s = 0;  // 0: closed loop
    uint32_t clients = 16;  // of the closed loop
    uint32_t connections = 0;
    uint32_t threads = 1;
    double duration_s = 5;
    uint32_t batch = 256;         // objects of a get_many
    bool as_descriptors = false;  // of get and get_many: answers by descriptor
    uint32_t members = 100;       // of a shard
    uint64_t range_bytes = 4096;  // of a range
    uint64_t seed = 1;
    int server_pid = 0;
    bool prepares = true;
    std::string files_directory;  // write the objects as files there, and nothing else
    std::string json_path;
    std::string picture_path;
    bool is_quiet = false;

    bool has(Op op) const { return mix[static_cast<size_t>(op)] > 0; }
    bool is_open_loop() const { return rate_per_s > 0; }
    std::string op_text() const;
};

// Exits by itself with a sentence on stderr: 0 after --help, 2 if something cannot be.
Options options_from(int count, char** values);

}  // namespace penstock::bench
