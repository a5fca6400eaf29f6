// Embedded: the same store, opened in a process of your own, without a server. Its directory is one
// that `penstockd --data` serves, and the reverse; one process has it at a time.
//
// Every call waits until it is done and may be made from any thread, several at once. Objects are
// durable when put() returns.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/base/bytes.h"
#include "io/base/result.h"

namespace penstock {

struct EmbeddedOptions {
    std::string directory;  // made if it is missing, in a directory that exists
    uint32_t cores = 1;
    uint64_t catalogue_cache_bytes = 8 << 20;
    bool logs_to_stderr = false;
};

struct EmbeddedObject {
    std::string name;
    uint64_t size_bytes = 0;
};

class Embedded {
public:
    // `unavailable` if another process has the directory (the text names its pid).
    static Result<std::unique_ptr<Embedded>> open(const EmbeddedOptions& options);
    // Closes the store: everything acknowledged is on the disk in any case.
    ~Embedded();
    Embedded(const Embedded&) = delete;
    Embedded& operator=(const Embedded&) = delete;

    Status create_bucket(std::string_view bucket);
    Status destroy_bucket(std::string_view bucket);
    std::vector<std::string> buckets();

    Status put(std::string_view bucket, std::string_view name, Bytes content);
    // Content of any size: `read` fills what it can of the span and says how much, 0 at the end.
    // It is called from a thread of the store's, one call at a time.
    using Read = std::function<Result<size_t>(MutableBytes)>;
    Status put_from(std::string_view bucket, std::string_view name, Read read);

    // `not_found`; `corrupt` rather than a wrong byte.
    Result<std::vector<std::byte>> get(std::string_view bucket, std::string_view name);
    // Verified bytes in order, also from a thread of the store's. An error of `write` ends it.
    using Write = std::function<Status(Bytes)>;
    Status get_into(std::string_view bucket, std::string_view name, Write write);
    // A member of a TAR.
    Result<std::vector<std::byte>> get_member(std::string_view bucket, std::string_view shard,
                                              std::string_view member);

    Status remove(std::string_view bucket, std::string_view name);
    // In byte order of names. False from `visit` ends it.
    Status list(std::string_view bucket, std::string_view prefix,
                const std::function<bool(const EmbeddedObject&)>& visit);

private:
    struct State;
    explicit Embedded(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace penstock
