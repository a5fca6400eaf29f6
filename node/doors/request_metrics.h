// RequestMetrics: what one core served, by door, operation and status. Counted by the router for
// every door behind HTTP, and where each call of MessagePack-RPC ends, so nobody can forget it.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "io/base/metrics.h"
#include "io/http/head.h"
#include "node/service/admission.h"

namespace penstock::node {

enum class Door : uint8_t { ais, admin, rpc };
constexpr size_t door_count = 3;
constexpr std::string_view door_names[door_count] = {"ais", "admin", "rpc"};

enum class Operation : uint8_t {
    get,
    get_many,
    put,
    del,
    head,
    list,
    member,
    update,
    object_action,
    bucket,
    cluster,
    admin,
    other
};
constexpr size_t operation_count = 13;
constexpr std::string_view operation_names[operation_count] = {
    "get",    "get_many",      "put",    "delete",  "head",  "list", "member",
    "update", "object_action", "bucket", "cluster", "admin", "other"};

// Which limit of a core's admission it counts against.
WorkClass work_class_of(Operation operation);

// What a request to AIStore's door asks for, from its method and path alone.
Operation operation_of(const io::http::RequestHead& head);

struct RequestOutcome {
    Door door = Door::ais;
    Operation operation = Operation::other;
    uint16_t status = 0;          // of HTTP; of MessagePack-RPC its error's code, 0 for none
    uint64_t received_bytes = 0;  // of the body
    uint64_t sent_bytes = 0;
    uint64_t duration_ns = 0;  // from the head to the response, which is not sent yet
};

class RequestMetrics {
public:
    using StatusCounts = std::vector<std::pair<uint16_t, uint64_t>>;  // few statuses each

    void record(const RequestOutcome& outcome);
    void add(const RequestMetrics& other);

    const StatusCounts& counts(size_t door, size_t operation) const {
        return counts_[door][operation];
    }
    uint64_t request_count() const { return request_count_; }
    uint64_t received_bytes(size_t operation) const { return received_bytes_[operation]; }
    uint64_t sent_bytes(size_t operation) const { return sent_bytes_[operation]; }
    const Histogram& durations(size_t operation) const { return durations_[operation]; }

private:
    void count(size_t door, size_t operation, uint16_t status, uint64_t by);

    std::array<std::array<StatusCounts, operation_count>, door_count> counts_;
    uint64_t request_count_ = 0;
    std::array<uint64_t, operation_count> received_bytes_{};
    std::array<uint64_t, operation_count> sent_bytes_{};
    std::array<Histogram, operation_count> durations_;
};

}  // namespace penstock::node
