#include "node/doors/request_metrics.h"

namespace penstock::node {
namespace {

using io::http::Method;

// Takes the first element off a path that begins with '/'.
std::string_view take_element(std::string_view& path) {
    while (path.starts_with('/')) path.remove_prefix(1);
    const std::string_view element = path.substr(0, path.find('/'));
    path.remove_prefix(element.size());
    return element;
}

Operation object_operation(const io::http::RequestHead& head) {
    switch (head.method) {
        case Method::get:
            return head.query.find("archpath=") == std::string_view::npos ? Operation::get
                                                                          : Operation::member;
        case Method::head:
            return Operation::head;
        case Method::put:
            return Operation::put;
        case Method::del:
            return Operation::del;
        case Method::patch:
            return Operation::update;
        default:
            return Operation::object_action;
    }
}

}  // namespace

Operation operation_of(const io::http::RequestHead& head) {
    std::string_view rest = head.path;
    std::string_view element = take_element(rest);
    if (element == "v1") {
        element = take_element(rest);
        if (element == "objects") return object_operation(head);
        if (element == "buckets") {
            return head.method == Method::get ? Operation::list : Operation::bucket;
        }
        const bool is_cluster = element == "cluster" || element == "daemon" ||
                                element == "health" || element == "reverse";
        return is_cluster ? Operation::cluster : Operation::other;
    }
    if (element != "ais" && element != "gs" && element != "az") return Operation::other;
    take_element(rest);  // the bucket
    if (rest.size() > 1) return object_operation(head);
    return head.method == Method::get ? Operation::list : Operation::bucket;
}

WorkClass work_class_of(Operation operation) {
    switch (operation) {
        case Operation::get:
        case Operation::get_many:
        case Operation::member:
            return WorkClass::read;
        case Operation::put:
        case Operation::del:
        case Operation::update:
        case Operation::object_action:
            return WorkClass::write;
        case Operation::list:
            return WorkClass::listing;
        case Operation::head:
        case Operation::bucket:
        case Operation::cluster:
        case Operation::admin:
        case Operation::other:
            return WorkClass::free;
    }
    return WorkClass::free;
}

void RequestMetrics::count(size_t door, size_t operation, uint16_t status, uint64_t by) {
    StatusCounts& counts = counts_[door][operation];
    for (auto& [known, value] : counts) {
        if (known != status) continue;
        value += by;
        return;
    }
    counts.emplace_back(status, by);
}

void RequestMetrics::record(const RequestOutcome& outcome) {
    const auto operation = static_cast<size_t>(outcome.operation);
    ++request_count_;
    count(static_cast<size_t>(outcome.door), operation, outcome.status, 1);
    received_bytes_[operation] += outcome.received_bytes;
    sent_bytes_[operation] += outcome.sent_bytes;
    durations_[operation].record(outcome.duration_ns);
}

void RequestMetrics::add(const RequestMetrics& other) {
    request_count_ += other.request_count_;
    for (size_t operation = 0; operation < operation_count; ++operation) {
        for (size_t door = 0; door < door_count; ++door) {
            for (const auto& [status, value] : other.counts_[door][operation]) {
                count(door, operation, status, value);
            }
        }
        received_bytes_[operation] += other.received_bytes_[operation];
        sent_bytes_[operation] += other.sent_bytes_[operation];
        durations_[operation].add(other.durations_[operation]);
    }
}

}  // namespace penstock::node
