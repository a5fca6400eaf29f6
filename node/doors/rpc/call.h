// Call: one request, from its message to its reply. What serves a method sees this and nothing of
// the connection.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "io/body.h"
#include "node/doors/rpc/session.h"

namespace penstock::node::rpc {

class Call {
public:
    Context& context() { return session_->context_; }
    ObjectService& service() { return session_->context_.service; }
    uint32_t core() const { return session_->context_.core; }
    const Message& message() const { return message_; }
    const Arguments& arguments() const { return arguments_; }
    bool passes_descriptors() const { return session_->passes_descriptors_; }
    Leases& leases() { return session_->leases_; }

    // Whether the caller is allowed more than the declaration asks for; nullopt: yes.
    std::optional<Failure> check_access(uint64_t wanted, const BucketName* bucket) const;
    // Whether the caller may know that there is such a bucket.
    bool may_see(const BucketName& bucket) const;
    // From now on the connection is the token's; false: there is no such token, nothing changes.
    bool log_in(std::string_view token);

    // The bucket that the arguments name, kept with the call; null: the call has failed.
    const BucketName* bucket();
    // The object that `bucket` and `name` say; bucket() was asked before.
    ObjectAddress address() const { return {bucket_, arguments_.text(Name::name)}; }
    // The bytes of the argument `data`. Views of the other arguments are good no longer: take
    // copies of them before.
    io::Body take_data();

    // Exactly one of these ends a call. The result is written at once, without waiting in between:
    // the replies of other calls are written to the same place.
    Writer reply() { return reply_with(io::Descriptor()); }
    Writer reply_with(io::Descriptor passed);
    void fail(const Failure& failure);
    // As the service says it; tells a missing bucket from a missing object.
    void fail(const Error& error) { fail(failure_of(error, bucket_)); }
    void fail(Code code, std::string sentence) {
        fail(Failure{code, std::move(sentence), {}, 0, {}});
    }
    Failure failure_of(const Error& error, const BucketName& bucket);
    // Of content, for the metrics.
    void count_sent(uint64_t bytes) { sent_bytes_ += bytes; }

private:
    friend class Session;
    static constexpr size_t small_message_bytes_max = 1024;

    void begin(Session& session, Bytes bytes);
    // What the message asks for. False: it has no valid msgid, and is no notification.
    bool read_envelope();
    // Sets the method and its arguments, or says why not.
    std::optional<Failure> read_request();
    std::optional<Failure> authorize();
    Outbox& outbox();

    Session* session_ = nullptr;
    const Method* method_ = nullptr;
    Message message_;
    Message::Parsed parsed_ = Message::Parsed::bad;
    Arguments arguments_;
    BucketName bucket_;
    std::optional<uint32_t> id_;  // none: a notification
    std::array<std::byte, small_message_bytes_max> small_;
    io::Buffer large_;
    uint64_t began_ns_ = 0;
    uint64_t received_bytes_ = 0;
    uint64_t sent_bytes_ = 0;
    uint16_t outcome_ = 0;
    bool is_answered_ = false;
};

// "ais://name" or "name"; `invalid` for what no bucket can be called.
std::optional<Failure> read_bucket(std::string_view text, BucketName& bucket);

// What an upload's id (upload_calls.cc) says its bucket is; "" if it says none.
std::string_view bucket_of_upload(std::string_view upload);

// "1-2f": as in HTTP's ETag, without its quotes.
std::string text_of(Version version);

}  // namespace penstock::node::rpc
