#include "bench/load/workload.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>

#include "archive/tar_writer.h"

namespace penstock::bench {
namespace {

// SplitMix64's finalizer (Steele, Lea, Flood 2014).
uint64_t mixed(uint64_t value) {
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
}

std::string numbered(char letter, uint64_t number, int digits) {
    char name[24];
    const int size =
        std::snprintf(name, sizeof name, "%c%0*llu", letter, digits, (unsigned long long)number);
    return {name, static_cast<size_t>(size)};
}

}  // namespace

std::string object_name(uint64_t object) {
    return numbered('o', object, 9);
}

std::string member_name(uint32_t member) {
    return numbered('m', member, 6);
}

uint64_t shard_bytes(const Options& options) {
    uint64_t bytes = archive::tar_end_bytes;
    for (uint32_t member = 0; member < options.members; ++member) {
        const uint64_t size = options.sizes.of(member);
        const std::string name = member_name(member);
        bytes += archive::tar_header_bytes({name, size, 0}) + size;
        bytes += archive::tar_padding_bytes(size);
    }
    return bytes;
}

Zipf::Zipf(uint64_t count, double exponent)
    : count_(static_cast<double>(count)), exponent_(exponent) {
    integral_first_ = integral(1.5) - 1;
    integral_last_ = integral(count_ + 0.5);
    cut_ = 2 - inverse(integral(2.5) - density(2));
}

double Zipf::integral(double x) const {
    const double rest = 1 - exponent_;
    return std::abs(rest) < 1e-9 ? std::log(x) : std::expm1(rest * std::log(x)) / rest;
}

double Zipf::inverse(double y) const {
    const double rest = 1 - exponent_;
    return std::abs(rest) < 1e-9 ? std::exp(y) : std::exp(std::log1p(rest * y) / rest);
}

double Zipf::density(double x) const {
    return std::pow(x, -exponent_);
}

uint64_t Zipf::draw(Random& random) const {
    while (true) {
        const double share = static_cast<double>(random.next() >> 11) * 0x1p-53;
        const double area = integral_last_ + share * (integral_first_ - integral_last_);
        const double x = inverse(area);
        const double rank = std::clamp(std::round(x), 1.0, count_);
        if (rank - x <= cut_ || area >= integral(rank + 0.5) - density(rank)) {
            return static_cast<uint64_t>(rank) - 1;
        }
    }
}

Permutation::Permutation(uint64_t count, uint64_t seed)
    : count_(count),
      half_bits_((static_cast<uint32_t>(std::bit_width(std::max<uint64_t>(count, 2) - 1)) + 1) /
                 2) {
    Random random(seed);
    for (uint64_t& key : keys_) key = random.next();
}

uint64_t Permutation::encrypt(uint64_t value) const {
    const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
    uint64_t left = value >> half_bits_;
    uint64_t right = value & mask;
    for (const uint64_t key : keys_) {
        const uint64_t next = left ^ (mixed(right + key) & mask);
        left = right;
        right = next;
    }
    return left << half_bits_ | right;
}

uint64_t Permutation::at(uint64_t index) const {
    uint64_t value = index;
    do {
        value = encrypt(value);
    } while (value >= count_);
    return value;
}

Workload::Workload(const Options& options, uint32_t index)
    : options_(options),
      index_(index),
      random_(options.seed * 1'000'003 + index),
      zipf_(options.objects, options.zipf_exponent),
      order_(options.objects, options.seed) {}

Workload Workload::filling(const Options& options, uint32_t index, uint64_t begin, uint64_t end) {
    Workload workload(options, index);
    workload.only_ = Op::put;
    workload.limited_at_ = begin + index;
    workload.limited_end_ = end;
    return workload;
}

Workload Workload::reading(const Options& options, uint64_t object) {
    Workload workload(options, 0);
    workload.only_ = Op::get;
    workload.limited_at_ = object;
    workload.limited_end_ = object + 1;
    return workload;
}

uint64_t Workload::object_bytes(uint64_t object) const {
    return options_.has(Op::member) ? shard_bytes(options_) : options_.sizes.of(object);
}

std::optional<Operation> Workload::next() {
    if (!only_) return operation(draw_op());
    if (limited_at_ >= limited_end_) return std::nullopt;
    Operation operation;
    operation.op = *only_;
    operation.object = limited_at_;
    operation.bytes = object_bytes(limited_at_);
    limited_at_ += options_.threads;
    return operation;
}

Op Workload::draw_op() {
    uint64_t drawn = random_.below(100);
    for (size_t index = 0; index < op_count; ++index) {
        if (drawn < options_.mix[index]) return static_cast<Op>(index);
        drawn -= options_.mix[index];
    }
    return Op::get;
}

uint64_t Workload::draw_object() {
    switch (options_.popularity) {
        case Popularity::uniform:
            return random_.below(options_.objects);
        case Popularity::zipf:
            return order_.at(zipf_.draw(random_));  // the popular ones lie anywhere
        case Popularity::epoch:
            break;
    }
    uint64_t position = turn_++ * options_.threads + index_;
    if (position >= options_.objects) {
        order_ = Permutation(options_.objects, options_.seed + ++epoch_);
        turn_ = 1;
        position = index_ % options_.objects;
    }
    return order_.at(position);
}

Operation Workload::operation(Op op) {
    Operation operation;
    operation.op = op;
    operation.object = draw_object();
    operation.bytes = options_.sizes.of(operation.object);
    switch (op) {
        case Op::range: {
            const uint64_t size = operation.bytes;
            operation.bytes = std::min(size, options_.range_bytes);
            operation.offset = random_.below(size - operation.bytes + 1);
            break;
        }
        case Op::member:
            operation.member = static_cast<uint32_t>(random_.below(options_.members));
            operation.bytes = options_.sizes.of(operation.member);
            break;
        case Op::get_many:
            objects_.assign(1, operation.object);
            while (objects_.size() < options_.batch) {
                objects_.push_back(draw_object());
                operation.bytes += options_.sizes.of(objects_.back());
            }
            operation.objects = objects_;
            break;
        case Op::list:
            operation.bytes = 0;
            break;
        default:
            if (options_.has(Op::member)) operation.bytes = shard_bytes(options_);
    }
    return operation;
}

}  // namespace penstock::bench
