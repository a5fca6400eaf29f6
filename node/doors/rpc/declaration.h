// Declarations: each method is declared once. The declaration serves the call, checks its
// arguments, and makes rpc.describe and the table in METHODS.md.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <span>
#include <string_view>

#include "io/task.h"
#include "node/doors/request_metrics.h"
#include "node/doors/rpc/failure.h"
#include "node/doors/rpc/message.h"
#include "node/service/access.h"

namespace penstock::node::rpc {

class Call;

enum class Type : uint8_t {
    nil,
    boolean,
    integer,
    unsigned_integer,
    floating,
    str,
    bin,
    array,
    map,
    any
};
std::string_view name_of(Type type);

// Every name that an argument can have, of whatever method. Arguments are kept by it.
enum class Name : uint8_t {
    active,
    as,
    bucket,
    crc32c,
    data,
    flush,
    handle,
    if_absent,
    if_version,
    items,
    job,
    kind,
    lease,
    length,
    limit,
    member,
    metadata,
    name,
    number,
    offset,
    on_missing,
    ordered,
    parts,
    prefix,
    props,
    replace,
    timeout_s,
    to,
    to_bucket,
    to_name,
    token,
    upload,
};
constexpr size_t name_count = 32;
std::string_view text_of(Name name);

struct Parameter {
    Name name;
    Type type;
    bool is_required;
    std::string_view doc;
};

struct ResultField {
    std::string_view name;
    Type type;
    std::string_view doc;
};

struct Method {
    std::string_view name;
    std::string_view doc;
    std::span<const Parameter> parameters;
    std::span<const ResultField> results;
    bool changes;  // something that outlives the connection
    std::span<const Code> errors;
    Operation operation;             // under which it is counted
    io::Task<void> (*serve)(Call&);  // answers exactly once
    // What the caller must be allowed (node/service/access.h): to the bucket that `bucket` or
    // `upload` names, else to the cluster. Who forgets it here has closed it.
    uint64_t wanted = access::admin;
    uint64_t wanted_there = 0;  // to the bucket that `to_bucket` names
};

// Sorted by name.
std::span<const Method> methods();
const Method* find_method(std::string_view name);

// What one item of object.get_many may say.
std::span<const Parameter> item_parameters();

struct Limit {
    std::string_view name;
    uint64_t value;
};
std::span<const Limit> limits();

// The arguments of one call, each of the declared type. Views into its message.
class Arguments {
public:
    bool has(Name name) const { return at(name) != nullptr; }
    const Value* at(Name name) const { return values_[static_cast<size_t>(name)]; }
    // Of an argument that was given or is required.
    std::string_view text(Name name) const { return at(name)->text(); }
    std::string_view text(Name name, std::string_view otherwise) const {
        return has(name) ? text(name) : otherwise;
    }
    uint64_t number(Name name, uint64_t otherwise) const {
        return has(name) ? at(name)->number : otherwise;
    }
    bool boolean(Name name, bool otherwise) const {
        return has(name) ? at(name)->number != 0 : otherwise;
    }

private:
    friend std::expected<Arguments, Failure> bind_arguments(std::span<const Parameter>,
                                                            const Message&, const Value*);
    std::array<const Value*, name_count> values_{};
};

// The map's pairs by their declared names: `invalid` for a key that is none of them or comes twice,
// a value of another type, a required one that is missing. nil stands for an argument left out, no
// map for no arguments.
std::expected<Arguments, Failure> bind_arguments(std::span<const Parameter> parameters,
                                                 const Message& message, const Value* map);

}  // namespace penstock::node::rpc
