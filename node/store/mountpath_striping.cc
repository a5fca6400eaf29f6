// Putting an object whose bucket asks for stripes, or a part of an upload: its parts first, each on
// its mountpath, then the record that says where they are, where the object's name belongs. Until
// that is durable the parts are nobody's: whoever fails removes them, and after a crash the next
// start does (mountpath_stripes.cc).
#include <algorithm>

#include "io/base/units.h"
#include "node/store/content_hash.h"
#include "node/store/hex_number.h"
#include "node/store/mountpath_set.h"
#include "node/store/store_impl.h"
#include "node/store/stripe_sink.h"

namespace penstock::node {
namespace {

// A body that does not say how long it is counts as a large one from here on.
constexpr uint64_t unknown_size_max = 1_MiB;

// Gives what was taken already, and then the rest.
class ReplaySource final : public io::Source {
public:
    // `rest` null: that was all.
    ReplaySource(std::vector<io::Chunk> taken, std::unique_ptr<io::Source> rest)
        : taken_(std::move(taken)), rest_(std::move(rest)) {}

    io::Task<Result<io::Chunk>> next() override {
        if (at_ < taken_.size()) co_return std::move(taken_[at_++]);
        if (rest_ == nullptr) co_return io::Chunk();
        co_return co_await rest_->next();
    }
    std::optional<uint64_t> remaining_bytes() const override {
        if (rest_ != nullptr) return std::nullopt;
        uint64_t bytes = 0;
        for (size_t index = at_; index < taken_.size(); ++index) bytes += taken_[index].size;
        return bytes;
    }

private:
    std::vector<io::Chunk> taken_;
    size_t at_ = 0;
    std::unique_ptr<io::Source> rest_;
};

uint64_t part_bytes_of(const StripeRule& rule, std::optional<uint64_t> size) {
    uint64_t bytes = std::max(rule.part_bytes, stripe_part_bytes_min);
    // So many parts as a record can list, and half of that room to spare.
    if (size) bytes = std::max(bytes, *size / (stripe_parts_max / 2));
    return round_up(bytes, uint64_t{stripe_unit_bytes});
}

}  // namespace

// One content that is being cut.
struct MountpathSet::Striping {
    Striping(std::shared_ptr<const View> view, uint32_t on, StripeOwner of)
        : seen(std::move(view)), core(on), owner(std::move(of)), slots(slots_in_service(*seen)) {
        layout.width = std::min(static_cast<uint32_t>(slots.size()), stripe_width_max);
    }
    std::shared_ptr<const View> seen;
    uint32_t core;
    StripeOwner owner;
    std::vector<uint32_t> slots;  // where parts may lie
    uint32_t number = 0;          // the next that no part has
    bool has_parts = false;       // all of them, durable
    StripeLayout layout;
};

// May take the front of a body that does not say its size, and puts it back.
io::Task<Result<bool>> MountpathSet::is_to_be_striped(uint32_t core, const View& view,
                                                      const StripeRule& rule, io::Body& body) {
    if (rule.above_bytes == 0 || slots_in_service(view).size() < 2) co_return false;
    if (const std::optional<uint64_t> size = body.size_bytes()) co_return *size > rule.above_bytes;
    Core& own = *cores_[core];
    const uint64_t enough = std::min(rule.above_bytes, unknown_size_max);
    std::unique_ptr<io::Source> source = body.into_source(own.reactor, own.buffers);
    std::vector<io::Chunk> taken;
    uint64_t bytes = 0;
    while (bytes <= enough) {
        CO_TRY(io::Chunk chunk, co_await source->next());
        if (chunk.is_empty()) {
            source.reset();
            break;
        }
        bytes += chunk.size;
        taken.push_back(std::move(chunk));
    }
    const bool has_more = source != nullptr;
    body = io::Body(std::make_unique<ReplaySource>(std::move(taken), std::move(source)));
    co_return has_more;
}

std::vector<uint32_t> MountpathSet::slots_in_service(const View& view) {
    std::vector<uint32_t> slots;
    for (uint32_t slot = 0; slot < view.members.size(); ++slot) {
        const MountpathMap::Slot& placed = view.map.slots()[slot];
        if (placed.is_now && placed.out == nullptr) slots.push_back(slot);
    }
    return slots;
}

io::Task<Result<ObjectAttributes>> MountpathSet::put_striped(uint32_t core,
                                                             std::shared_ptr<const View> view,
                                                             ObjectName name, io::Body body,
                                                             PutOptions options) {
    CO_TRY_STATUS(check_object_name(name.object));
    const Member& owner = *view->members[view->map.owners_of(name).now];
    Striping striping(view, core, {name, {}});
    striping.layout.id = {cores_[core]->random.next(), cores_[core]->random.next()};
    striping.layout.part_bytes = part_bytes_of(options.stripes, body.size_bytes());
    Result<ObjectAttributes> stored = ObjectAttributes();
    CO_TRY_STATUS(co_await cut(striping, std::move(body), options, [&](StripedContent& content) {
        return owner.store->put_striped(owner.local(core), name, content, options, stored);
    }));
    co_return stored;
}

io::Task<Status> MountpathSet::put_stripes(uint32_t core, StripeOwner owner, io::Body body,
                                           PutOptions& options, Commit commit) {
    constexpr size_t high_digits = 16;
    // Those of one upload lie side by side in listings.
    const std::string_view upload = owner.upload_part;
    const uint64_t high = number_from_hex(upload.substr(0, high_digits)).value_or(0);
    Striping striping(co_await settled_view(core), core, std::move(owner));
    if (striping.slots.empty()) co_return fail(Errc::unavailable, "no mountpath is in service");
    striping.layout.id = {cores_[core]->random.next(), high};
    striping.layout.part_bytes = upload_stripe_bytes;
    co_return co_await cut(striping, std::move(body), options, commit);
}

io::Task<Status> MountpathSet::cut(Striping& striping, io::Body body, PutOptions& options,
                                   const Commit& commit) {
    const uint32_t core = striping.core;
    StripedContent content;
    co_await note_striping(core, striping.layout.id, true);
    Status put = co_await put_parts(striping, std::move(body), options, content);
    if (put) put = co_await commit(content);
    // After an error of the device the record may be durable all the same: the next start decides.
    const bool is_doubtful = !put && put.error().code == Errc::io_error && striping.has_parts;
    const bool is_refused = !put && !is_doubtful && !striping.layout.numbers.empty();
    if (is_refused) {
        co_await remove_parts(core, striping.owner.object.bucket, {striping.layout});
    }
    if (!is_doubtful) co_await note_striping(core, striping.layout.id, false);
    co_return put;
}

// What is being put is nobody's yet: it must not be taken for what a crash left.
io::Task<void> MountpathSet::note_striping(uint32_t core, Digest128 id, bool is_begun) {
    co_await io::on_core(cores_[core]->reactor, home(),
                         [this, id, is_begun] { return note_striping_here(id, is_begun); });
}

io::Task<void> MountpathSet::note_striping_here(Digest128 id, bool is_begun) {
    if (is_begun) {
        striping_.insert({id.high, id.low});
    } else {
        striping_.erase({id.high, id.low});
    }
    co_return;
}

io::Task<Status> MountpathSet::put_parts(Striping& striping, io::Body body, PutOptions& options,
                                         StripedContent& content) {
    Core& own = *cores_[striping.core];
    const std::optional<uint64_t> size = body.size_bytes();
    StripeWrites writes{own.reactor, own.buffers, size,
                        [&striping](uint32_t index) { return number_for(striping, index); },
                        [&striping](uint32_t number, io::Body part) {
                            return put_part_of(striping, number, std::move(part));
                        }};
    StripeSink sink(std::move(writes), striping.layout);
    ContentProof proof(options.checksum, options.expected);
    const bool is_of_upload = !striping.owner.upload_part.empty();
    const auto source = body.into_source(own.reactor, own.buffers);
    Status status;
    uint64_t taken_bytes = 0;
    while (status) {
        Result<io::Chunk> chunk = co_await source->next();
        if (!chunk) status = fail(chunk.error());
        if (!chunk || chunk->is_empty()) break;
        proof.add(chunk->bytes());
        if (options.observer) options.observer->observe(chunk->bytes());
        if (is_of_upload) content.crc32c = crc32c(chunk->bytes(), content.crc32c);
        taken_bytes += chunk->size;
        status = co_await sink.write(std::move(*chunk));
    }
    if (status && size && taken_bytes != *size) {
        status = fail(Errc::closed, "the content ended early");
    }
    if (status && taken_bytes == 0) status = fail(Errc::invalid, "invalid size (0)");
    if (status) {
        Result<ContentChecksum> checksum = proof.finish();
        if (!checksum) status = fail(checksum.error());
        if (checksum) content.checksum = *checksum;
    }
    if (status) {
        status = co_await sink.finish();
    } else {
        co_await sink.abandon();
    }
    striping.layout = sink.layout();
    CO_TRY_STATUS(status);
    striping.has_parts = true;
    if (options.observer) content.attachment = options.observer->finish();
    content.layouts = std::make_shared<const StripeLayouts>(1, striping.layout);
    co_return Status();
}

// Parts that are neighbours lie on different mountpaths.
uint32_t MountpathSet::number_for(Striping& striping, uint32_t index) {
    const StripeLayout& layout = striping.layout;
    const uint64_t turn = layout.id.low % striping.slots.size() + index;
    const uint32_t slot = striping.slots[turn % striping.slots.size()];
    for (;;) {
        const uint32_t number = striping.number++;
        if (part_slot(striping, number) == slot) return number;
    }
}

uint32_t MountpathSet::part_slot(const Striping& striping, uint32_t number) {
    const std::string part = stripe_part_name(striping.layout.id, number);
    const BucketId hidden = hidden_bucket(striping.owner.object.bucket);
    return striping.seen->map.owners_of({hidden, {}, part}).now;
}

io::Task<Status> MountpathSet::put_part_of(Striping& striping, uint32_t number, io::Body body) {
    const std::string part = stripe_part_name(striping.layout.id, number);
    const ObjectName& object = striping.owner.object;
    const ObjectName hidden{hidden_bucket(object.bucket), object.bucket_label, part};
    const Member& member = *striping.seen->members[part_slot(striping, number)];
    co_return co_await member.store->put_stripe_part(member.local(striping.core), hidden,
                                                     striping.owner, std::move(body));
}

}  // namespace penstock::node
