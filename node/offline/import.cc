// Import: the entries of a TAR become objects: one that we exported, with all that belonged to
// them, or any other, whose names say bucket and object.
//
// The stream is read on the pool in batches; small objects of a batch are put at once, so that many
// ride in one commit; a large one is streamed. An entry that cannot be taken is reported, and the
// others come in. A stream that ends early fails, after what was whole is durable.
#include <algorithm>
#include <map>
#include <unordered_set>

#include "archive/tar_reader.h"
#include "io/base/units.h"
#include "node/offline/entry_text.h"
#include "node/offline/session.h"

namespace penstock::node {
namespace {

constexpr uint64_t small_bytes_max = 1_MiB;
constexpr uint64_t batch_bytes_max = 8_MiB;
constexpr size_t batch_items_max = 512;
constexpr uint32_t stream_piece_bytes = 256 << 10;
constexpr std::string_view own_prefix = ".penstock/";

struct Incoming {
    archive::TarItem item;
    std::optional<EntryText> text;
    std::vector<std::byte> content;
    bool is_large = false;  // its content is still in the stream: the last of its batch
};

struct Batch {
    std::vector<Incoming> entries;
    bool is_last = false;
    Status status;  // of the stream behind them
};

// The content of the reader's current entry.
class EntrySource final : public io::Source {
public:
    EntrySource(Session& session, archive::TarReader& reader, uint64_t size)
        : session_(session), reader_(reader), left_(size) {}

    io::Task<Result<io::Chunk>> next() override {
        io::Chunk chunk{session_.buffers().take(stream_piece_bytes), 0, 0};
        const MutableBytes room = chunk.buffer.bytes();
        CO_TRY(const size_t count, co_await session_.pool().run(session_.reactor(), [this, room] {
            return reader_.read(room);
        }));
        chunk.size = static_cast<uint32_t>(count);
        left_ -= count;
        co_return chunk;
    }
    std::optional<uint64_t> remaining_bytes() const override { return left_; }

private:
    Session& session_;
    archive::TarReader& reader_;
    uint64_t left_;
};

class Import {
public:
    Import(Session& session, const ImportOptions& options, const OfflineRead& read)
        : session_(session),
          options_(options),
          reader_(read),
          flights_(session.reactor(), session.in_flight_max(), 4 * batch_bytes_max) {}

    io::Task<Status> run() {
        Status status;
        while (status) {
            Batch batch =
                co_await session_.pool().run(session_.reactor(), [this] { return next_batch(); });
            for (Incoming& entry : batch.entries) {
                status = co_await take(std::move(entry));
                if (status) status = flights_.status();
                if (!status) break;
            }
            if (status) status = batch.status;
            if (batch.is_last) break;
        }
        co_await flights_.settle();
        if (status) status = flights_.status();
        // What was closed to writers is closed again, also when the rest is still to come.
        const Status closed = co_await set_properties();
        co_return status ? closed : status;
    }

private:
    // On the pool.
    Batch next_batch() {
        Batch batch;
        uint64_t bytes = 0;
        while (bytes < batch_bytes_max && batch.entries.size() < batch_items_max) {
            Result<std::optional<archive::TarItem>> item = reader_.next();
            if (!item || !*item) {
                if (!item) batch.status = fail(item.error());
                batch.is_last = true;
                break;
            }
            Incoming incoming;
            incoming.item = std::move(**item);
            incoming.text = parse_entry_text(incoming.item.comment);
            incoming.is_large = incoming.item.size > small_bytes_max;
            if (!incoming.is_large) batch.status = read_whole(incoming);
            if (!batch.status) {
                batch.is_last = true;
                break;
            }
            bytes += incoming.content.size();
            const bool is_large = incoming.is_large;
            batch.entries.push_back(std::move(incoming));
            if (is_large) break;
        }
        return batch;
    }

    Status read_whole(Incoming& incoming) {
        incoming.content.resize(incoming.item.size);
        MutableBytes rest(incoming.content);
        while (!rest.empty()) {
            TRY(const size_t count, reader_.read(rest));
            rest = rest.subspan(count);
        }
        return {};
    }

    // Bucket and object that an entry is about; nullopt with `why` empty: nothing to take.
    std::optional<std::pair<BucketName, std::string>> address_of(const Incoming& incoming,
                                                                 std::string& why) const {
        if (incoming.text && incoming.text->object) {
            return std::pair(incoming.text->bucket, *incoming.text->object);
        }
        const archive::TarItem& item = incoming.item;
        if (item.is_directory) return std::nullopt;
        std::string_view name = item.name;
        while (name.starts_with("./")) name.remove_prefix(2);
        if (name.starts_with(own_prefix)) return std::nullopt;
        if (!item.is_file || item.is_sparse) {
            why = item.is_sparse ? "a sparse file: make the archive without --sparse"
                                 : "neither a file nor a directory";
            return std::nullopt;
        }
        if (!options_.bucket.empty()) {
            return std::pair(BucketName{"ais", "", "", options_.bucket}, std::string(name));
        }
        const size_t slash = name.find('/');
        if (slash == std::string_view::npos || slash == 0) {
            why = "its name has no bucket in front: give one";
            return std::nullopt;
        }
        return std::pair(BucketName{"ais", "", "", std::string(name.substr(0, slash))},
                         std::string(name.substr(slash + 1)));
    }

    io::Task<Status> take(Incoming incoming) {
        if (incoming.text && !incoming.text->object) {
            // A bucket's own entry.
            co_return co_await make_bucket(incoming.text->bucket, incoming.text->properties);
        }
        std::string why;
        auto address = address_of(incoming, why);
        if (!address) {
            if (!why.empty()) session_.problem(incoming.item.name, why);
            co_return Status();
        }
        const Status made = co_await make_bucket(address->first, {});
        if (!made) {
            if (!is_about_one(made.error().code)) co_return made;
            session_.problem(incoming.item.name, made.error().context);
            co_return Status();
        }
        const uint64_t bytes = incoming.content.size();
        const std::string key = bucket_path(address->first) + "/" + address->second;
        // The later of two entries for one name counts.
        if (incoming.is_large || under_way_.contains(key)) co_await flights_.settle();
        co_await flights_.take_off(bytes);
        under_way_.insert(key);
        if (incoming.is_large) {
            co_await put(std::move(incoming), std::move(*address), key);
        } else {
            io::start_detached(put(std::move(incoming), std::move(*address), key));
        }
        co_return Status();
    }

    io::Task<void> put(Incoming incoming, std::pair<BucketName, std::string> address,
                       std::string key) {
        const uint64_t held_bytes = incoming.content.size();
        const uint64_t size = incoming.item.size;
        PutRequest request;
        request.modified_ns = incoming.item.modified_s * ns_per_s;
        if (incoming.text) {
            request.modified_ns = incoming.text->modified_ns;
            request.display_version = incoming.text->display_version;
            request.custom = std::move(incoming.text->custom);
            const ContentChecksum& checksum = incoming.text->checksum;
            if (checksum.type != ChecksumType::none) request.expected = checksum;
        }
        const ObjectAddress at{address.first, address.second};
        const bool is_there =
            options_.skips_what_is_there && co_await has_already(at, request, size);
        if (is_there) {
            session_.summary().skipped += 1;
        } else {
            io::Body body;
            if (incoming.is_large) {
                body = io::Body(std::make_unique<EntrySource>(session_, reader_, size));
            } else {
                body = io::Body::copy_of(session_.buffers(), incoming.content);
            }
            const Result<ObjectAttributes> done = co_await session_.service().put(
                Session::core, at, std::move(body), std::move(request));
            if (done) {
                session_.done(size);
            } else if (is_about_one(done.error().code) && done.error().code != Errc::corrupt) {
                session_.problem(key, done.error().context);
            } else {
                flights_.fail_with(done.error());
            }
        }
        under_way_.erase(key);
        flights_.land(held_bytes);
    }

    io::Task<bool> has_already(const ObjectAddress& at, const PutRequest& request, uint64_t size) {
        const Result<ObjectAttributes> found = co_await session_.service().stat(Session::core, at);
        if (!found || found->size_bytes != size || found->modified_ns != request.modified_ns ||
            found->custom != request.custom) {
            co_return false;
        }
        // Of another type it says nothing.
        if (!request.expected || request.expected->type != found->checksum.type) co_return true;
        co_return std::ranges::equal(request.expected->bytes(), found->checksum.bytes());
    }

    // One that is new is open to all until the end.
    io::Task<Status> make_bucket(const BucketName& name, const BucketProperties& properties) {
        if (session_.service().find_bucket(Session::core, name) != nullptr) co_return Status();
        CO_TRY_STATUS(check_bucket_name(name.name));
        BucketProperties open = properties;
        open.access = UINT64_MAX;
        if (properties.access != open.access) made_[name] = properties;
        co_return co_await session_.service().create_bucket(Session::core, name, open);
    }

    io::Task<Status> set_properties() {
        for (const auto& [name, properties] : made_) {
            CO_TRY_STATUS(
                co_await session_.service().set_properties(Session::core, name, properties));
        }
        co_return Status();
    }

    Session& session_;
    const ImportOptions& options_;
    archive::TarReader reader_;
    Flights flights_;
    std::unordered_set<std::string> under_way_;
    std::map<BucketName, BucketProperties> made_;
};

}  // namespace
}  // namespace penstock::node

namespace penstock {

Result<OfflineSummary> import_objects(const OfflineOptions& options, const ImportOptions& import,
                                      const OfflineRead& read) {
    TRY(const std::unique_ptr<node::Session> session, node::Session::open(options, false));
    node::Import job(*session, import, read);
    return session->run([&job] { return job.run(); });
}

}  // namespace penstock
