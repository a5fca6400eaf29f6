// Workload: which operation comes next. Everything is drawn from the seed, so that two servers are
// asked the same. One thread's own.
#pragma once

#include <optional>
#include <span>

#include "bench/load/options.h"
#include "io/base/random.h"

namespace penstock::bench {

struct Operation {
    Op op = Op::get;
    uint64_t object = 0;
    uint64_t offset = 0;  // of a range
    uint64_t bytes = 0;   // what must come back, or what is put
    uint32_t member = 0;
    std::span<const uint64_t> objects;  // of a get_many, until the next operation is drawn
};

// "o000000042"; members are "m000042".
std::string object_name(uint64_t object);
std::string member_name(uint32_t member);

// Ranks 1, 2, ... with probability 1/rank^exponent: rejection inversion (Hormann and Derflinger
// 1996), constant time and no table.
class Zipf {
public:
    Zipf(uint64_t count, double exponent);
    uint64_t draw(Random& random) const;  // 0 to count - 1, the most frequent first

private:
    double integral(double x) const;
    double inverse(double y) const;
    double density(double x) const;

    double count_;
    double exponent_;
    double integral_first_;
    double integral_last_;
    double cut_;
};

// All numbers below a count in random order, without memory: a Feistel network over the next power
// of four, walked until it lands inside (Black and Rogaway 2002).
class Permutation {
public:
    Permutation(uint64_t count, uint64_t seed);
    uint64_t at(uint64_t index) const;

private:
    uint64_t encrypt(uint64_t value) const;

    uint64_t count_;
    uint32_t half_bits_;
    std::array<uint64_t, 4> keys_;
};

class Workload {
public:
    // What thread `index` of `options.threads` asks for, without end.
    Workload(const Options& options, uint32_t index);
    // Puts each object of [begin, end) once, dealt among the threads.
    static Workload filling(const Options& options, uint32_t index, uint64_t begin, uint64_t end);
    // Reads this one object, whole.
    static Workload reading(const Options& options, uint64_t object);

    std::optional<Operation> next();

private:
    Op draw_op();
    uint64_t draw_object();
    Operation operation(Op op);
    uint64_t object_bytes(uint64_t object) const;

    const Options& options_;
    uint32_t index_;
    Random random_;
    Zipf zipf_;
    Permutation order_;
    uint64_t turn_ = 0;  // of an epoch: how many this thread has drawn
    uint64_t epoch_ = 0;
    uint64_t limited_at_ = 0;  // filling, reading: the next one, and the end
    uint64_t limited_end_ = 0;
    std::optional<Op> only_;
    std::vector<uint64_t> objects_;
};

// How large a shard of these options is: all shards are the same.
uint64_t shard_bytes(const Options& options);

}  // namespace penstock::bench
