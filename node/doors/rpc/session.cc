#include "node/doors/rpc/session.h"

#include <fmt/format.h>

#include <cstring>
#include <utility>

#include "node/doors/rpc/call.h"

namespace penstock::node::rpc {
namespace {

// Calls that are kept for the next requests: more are only under way under pressure.
constexpr size_t free_calls_max = 256;

constexpr uint64_t request_type = 0;
constexpr uint64_t response_type = 1;
constexpr uint64_t notification_type = 2;

}  // namespace

Context::Context(ObjectService& objects, const NodeIdentity& identity, const Access& list,
                 io::Reactor& loop, io::BufferPool& pool)
    : service(objects),
      access(list),
      node(identity),
      reactor(loop),
      buffers(pool),
      core(loop.core()),
      batches(loop, batches_underway_max) {}

Context::~Context() = default;

Leases::~Leases() {
    for (const auto& [id, held] : held_) context_.leased_bytes -= held.memory_bytes;
}

std::optional<uint64_t> Leases::add(std::shared_ptr<const void> kept, uint64_t memory_bytes) {
    const bool is_full =
        held_.size() >= leases_max || context_.leased_bytes + memory_bytes > leased_bytes_max;
    if (is_full) return std::nullopt;
    context_.leased_bytes += memory_bytes;
    held_.emplace(++last_, Held{std::move(kept), memory_bytes});
    return last_;
}

bool Leases::release(uint64_t lease) {
    const auto found = held_.find(lease);
    if (found == held_.end()) return false;
    context_.leased_bytes -= found->second.memory_bytes;
    held_.erase(found);
    return true;
}

Session::Session(Context& context, bool passes_descriptors, Principal principal,
                 std::function<void()> on_change)
    : context_(context),
      outbox_(context.buffers),
      nowhere_(context.buffers),
      leases_(context),
      calls_(context.reactor),
      on_change_(std::move(on_change)),
      passes_descriptors_(passes_descriptors),
      principal_(principal) {
    nowhere_.close();
}

Session::~Session() {
    ASSERT(calls_.count() == 0);
}

bool Session::take(Bytes message) {
    Result<io::Gate::Pass> pass = calls_.enter();
    if (!pass) return false;
    std::unique_ptr<Call> call;
    if (context_.free_calls.empty()) {
        call = std::make_unique<Call>();
    } else {
        call = std::move(context_.free_calls.back());
        context_.free_calls.pop_back();
    }
    call->begin(*this, message);
    if (!call->read_envelope()) return false;
    if (std::optional<Failure> failure = call->read_request()) {
        call->fail(*failure);
        end(std::move(call));
        on_change_();
        return true;
    }
    Admission::Ticket ticket;
    if (context_.admission != nullptr) {
        ticket = context_.admission->admit(work_class_of(call->method_->operation),
                                           context_.buffers.outstanding_bytes());
        if (!ticket) {
            call->fail(Code::busy, "too much is under way on this node: try again later");
            end(std::move(call));
            on_change_();
            return true;
        }
    }
    io::start_detached(run(std::move(call), std::move(*pass), std::move(ticket)));
    return true;
}

io::Task<void> Session::run(std::unique_ptr<Call> call, io::Gate::Pass, Admission::Ticket) {
    co_await call->method_->serve(*call);
    end(std::move(call));
    on_change_();
}

void Session::end(std::unique_ptr<Call> call) {
    ASSERT(call->is_answered_);
    RequestOutcome outcome;
    outcome.door = Door::rpc;
    outcome.operation = call->method_ == nullptr ? Operation::other : call->method_->operation;
    outcome.status = call->outcome_;
    outcome.received_bytes = call->received_bytes_;
    outcome.sent_bytes = call->sent_bytes_;
    outcome.duration_ns = context_.reactor.clock().monotonic_ns() - call->began_ns_;
    context_.metrics.record(outcome);
    call->large_ = io::Buffer();
    call->message_.shrink();
    if (context_.free_calls.size() < free_calls_max) context_.free_calls.push_back(std::move(call));
}

io::Task<void> Session::finish() {
    co_await calls_.close();
}

void Call::begin(Session& session, Bytes bytes) {
    session_ = &session;
    method_ = nullptr;
    id_.reset();
    received_bytes_ = sent_bytes_ = 0;
    outcome_ = 0;
    is_answered_ = false;
    began_ns_ = session.context_.reactor.now_ns();
    std::byte* copy = small_.data();
    if (bytes.size() > small_.size()) {
        large_ = session.context_.buffers.take(static_cast<uint32_t>(bytes.size()));
        copy = large_.data();
    }
    std::memcpy(copy, bytes.data(), bytes.size());
    parsed_ = message_.parse({copy, bytes.size()});
}

bool Call::read_envelope() {
    if (parsed_ == Message::Parsed::bad || message_.value_count() < 3) return false;
    const Value& envelope = message_[0];
    if (envelope.kind != Kind::array || envelope.size < 2) return false;
    const Value& type = message_.first(envelope);
    if (type.kind != Kind::positive) return false;
    if (type.number == notification_type) return envelope.size == 3;
    if (type.number != request_type) return false;
    const Value& id = message_[2];
    if (id.kind != Kind::positive || id.number > UINT32_MAX) return false;
    id_ = static_cast<uint32_t>(id.number);
    return true;
}

std::optional<Failure> Call::read_request() {
    const auto invalid = [](std::string sentence) {
        return Failure{Code::invalid, std::move(sentence), {}, 0, {}};
    };
    if (parsed_ == Message::Parsed::too_many_values) {
        return too_large("message_values", message_values_max);
    }
    const Value& envelope = message_[0];
    const uint32_t expected = id_ ? 4 : 3;
    if (envelope.size != expected) {
        return invalid(fmt::format("the message has {} elements, not {}", envelope.size, expected));
    }
    const Value& name = message_[id_ ? 3 : 2];
    if (name.kind != Kind::str) return invalid("the method's name is no text");
    method_ = find_method(name.text());
    if (method_ == nullptr) {
        return Failure{Code::unknown_method,
                       fmt::format("there is no method \"{}\"; see rpc.describe", name.text()),
                       {},
                       0,
                       {}};
    }
    const Value& parameters = message_.after(name);
    const bool is_list = parameters.kind == Kind::array && parameters.size <= 1;
    const bool is_one_map =
        is_list && parameters.size == 1 && message_.first(parameters).kind == Kind::map;
    // Clients in which every argument has its place send an empty array for a call without any.
    if (!is_one_map && !(is_list && parameters.size == 0)) {
        return invalid("params must be an array that holds one map of arguments");
    }
    std::expected<Arguments, Failure> bound = bind_arguments(
        method_->parameters, message_, is_one_map ? &message_.first(parameters) : nullptr);
    if (!bound) return std::move(bound).error();
    arguments_ = *bound;
    return authorize();
}

// What the declaration asks for; the items of a batch are looked at one by one, where they are
// read.
std::optional<Failure> Call::authorize() {
    if (!context().access.is_required(core()) || method_->wanted == access::anyone) {
        return std::nullopt;
    }
    const bool has_upload = arguments_.has(Name::upload);
    if (!arguments_.has(Name::bucket) && !has_upload) return check_access(method_->wanted, nullptr);
    BucketName name;
    // Whom we do not know is told nothing of names; a wrong one is refused by the call itself.
    if (auto failure = check_access(access::any_role, nullptr)) return failure;
    const std::string_view text = has_upload ? bucket_of_upload(arguments_.text(Name::upload))
                                             : arguments_.text(Name::bucket);
    if (auto failure = read_bucket(text, name)) return failure;
    if (auto failure = check_access(method_->wanted, &name)) return failure;
    if (!arguments_.has(Name::to_bucket)) return std::nullopt;
    if (auto failure = read_bucket(arguments_.text(Name::to_bucket), name)) return failure;
    return check_access(method_->wanted_there, &name);
}

std::optional<Failure> Call::check_access(uint64_t wanted, const BucketName* bucket) const {
    const Context& context = session_->context_;
    switch (context.access.decide(context.core, session_->principal_, wanted, bucket)) {
        case Decision::allowed:
            return std::nullopt;
        case Decision::unauthenticated:
            return Failure{Code::unauthenticated, "a token is required; see auth.login", {}, 0, {}};
        case Decision::forbidden:
            break;
    }
    return Failure{Code::refused,
                   fmt::format("the token \"{}\" does not allow this",
                               context.access.name_of(context.core, session_->principal_)),
                   {},
                   0,
                   {}};
}

bool Call::may_see(const BucketName& bucket) const {
    return !check_access(access::head_bucket, &bucket);
}

bool Call::log_in(std::string_view token) {
    const Principal shown{hash_of_token(token), false};
    const bool is_known = context().access.decide(core(), shown, access::any_role, nullptr) !=
                          Decision::unauthenticated;
    if (is_known) session_->principal_ = shown;
    return is_known;
}

const BucketName* Call::bucket() {
    if (std::optional<Failure> failure = read_bucket(arguments_.text(Name::bucket), bucket_)) {
        fail(*failure);
        return nullptr;
    }
    return &bucket_;
}

io::Body Call::take_data() {
    const Bytes bytes = arguments_.at(Name::data)->bytes();
    received_bytes_ = bytes.size();
    if (!large_) return io::Body::copy_of(context().buffers, bytes);
    const auto begin = static_cast<uint32_t>(bytes.data() - large_.data());
    return io::Body(io::Chunk{std::move(large_), begin, static_cast<uint32_t>(bytes.size())});
}

Outbox& Call::outbox() {
    return id_ ? session_->outbox_ : session_->nowhere_;
}

Writer Call::reply_with(io::Descriptor passed) {
    ASSERT(!is_answered_);
    is_answered_ = true;
    if (passed.is_open()) outbox().pass(std::move(passed));
    Writer writer(outbox());
    writer.array(4);
    writer.number(response_type);
    writer.number(id_.value_or(0));
    writer.nil();
    return writer;
}

void Call::fail(const Failure& failure) {
    ASSERT(!is_answered_);
    is_answered_ = true;
    outcome_ = static_cast<uint16_t>(failure.code);
    Writer writer(outbox());
    writer.array(4);
    writer.number(response_type);
    writer.number(id_.value_or(0));
    writer.array(3);
    writer.number(static_cast<uint64_t>(failure.code));
    writer.sentence(failure.message);
    writer.map(1 + (failure.limit.empty() ? 0 : 2) + (failure.item ? 1 : 0));
    writer.pair("name", name_of(failure.code));
    if (!failure.limit.empty()) {
        writer.pair("limit", failure.limit);
        writer.pair("value", failure.limit_value);
    }
    if (failure.item) writer.pair("item", *failure.item);
    writer.nil();
}

Failure Call::failure_of(const Error& error, const BucketName& bucket) {
    Failure failure = failure_from(error);
    if (failure.code == Code::not_found && service().find_bucket(core(), bucket) == nullptr) {
        failure.code = Code::bucket_not_found;
    }
    return failure;
}

std::optional<Failure> read_bucket(std::string_view text, BucketName& bucket) {
    constexpr std::string_view provider = "ais://";
    if (text.starts_with(provider)) text.remove_prefix(provider.size());
    if (const Status checked = check_bucket_name(text); !checked) {
        return failure_from(checked.error());
    }
    bucket.name.assign(text);
    return std::nullopt;
}

std::string text_of(Version version) {
    std::string etag = etag_from_version(version);
    return etag.substr(1, etag.size() - 2);
}

}  // namespace penstock::node::rpc
