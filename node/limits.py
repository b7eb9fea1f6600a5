"""Every limit of the node, in one place, each with what happens at the limit.

Sizes are bytes, times are seconds. What an operator may change is a field of ``node.config``;
what is here is the same on every node.
"""

from __future__ import annotations

KiB = 1024
MiB = 1024 * KiB
GiB = 1024 * MiB

# --- wire -------------------------------------------------------------------------------------
FRAME_BYTES_MAX = 1 * MiB  # A longer frame ends the connection: the peer is broken or hostile.
BLOB_CHUNK_BYTES = 256 * KiB  # We send chunks of this size; a longer one ends the stream.
BLOB_CHUNK_BYTES_MAX = 1 * MiB
BLOB_STALL_S = 30.0  # No byte for this long: the stream is given up (``PeerGone``).
BLOB_STREAMS_PER_PEER = 16  # Further requests of that peer are refused until one ends.
OUTBOX_FRAMES_MAX = 4096  # Unacknowledged frames to one peer; at the limit the peer is dropped as gone.
OUTBOX_BYTES_MAX = 32 * MiB  # The same, in bytes.
KEEPALIVE_S = 5.0  # A control stream is never silent for longer.
PEER_SILENT_S = 20.0  # A peer silent for this long is gone.
PEER_REJOIN_S = 15.0  # A peer that comes back within this keeps its unacknowledged frames.
DIAL_S = 10.0  # A dial that takes longer has failed.
PEERS_MAX = 256  # Further peers are not dialled, and turned away when they dial.
CONNECTIONS_PER_ADDRESS_MAX = 72  # Inbound, guests among them, per IPv4 /24 or IPv6 /48; not for loopback.
HANDSHAKES_PER_ADDRESS_MAX = 16  # The same, of those that have not said who they are; also at most PEERS_MAX in all.
OFFENDER_S = 30.0  # A peer that broke the protocol is turned away for this long.
PROTOCOL_BYTES_MAX = 1 * KiB  # A longer protocol name ends the connection.
OPENING_BYTES_MAX = 8 * KiB  # A longer first body of a stream (opening, request, header) ends the stream.
STREAMS_PER_CONNECTION = 256  # Opened by the peer; one more ends the connection.
STREAM_WINDOW_BYTES = 1 * MiB  # What a peer may send on a stream before we have read it; more ends the connection.
UNREAD_BYTES = 256 * MiB  # Sent to us on all connections and not read; who sent most of it loses its connection.
WRITE_STALL_S = 15.0  # A peer that takes no byte for this long loses the connection.
MESSAGES_PER_S_PER_PEER = 2_000  # Sustained; a peer over it is disconnected (burst: 4 seconds' worth).
SMALL_READS_PER_S = 8_000  # Of a connection: Yamux frames and bodies under 1 KiB. The same, with the same burst.
ADDRESSES_PER_PEER_MAX = 8  # Further addresses of a peer are forgotten.
PROTOCOL_STREAMS_PER_PEER = 32  # Of other protocols, answered at once on a connection; further ones wait.
PROTOCOL_STALL_S = 30.0  # Who takes nothing on such a stream, or waits for its turn, for this long loses the stream.
PROTOCOL_IDLE_S = 600.0  # The same for who sends nothing while we wait.
PROTOCOL_CLOSE_S = 5.0  # When we have ended our way of such a stream, the far end has so long to end its own.
GUESTS_MAX = 64  # Connections of who does not speak our protocol; the one idle for longest makes room.
GUESTS_PER_ADDRESS_MAX = 8  # The same, per IPv4 /24 or IPv6 /48; not for loopback.
GUEST_IDLE_S = 600.0  # A guest's connection that nobody uses for this long is closed, unless it is we who want it.
GUEST_SILENT_S = 100.0  # A guest that does not even answer pings of the connection, sent every 30 s, is gone.
BOOK_PEERS_MAX = 1_024  # The address book forgets the peers it heard of longest ago.

# --- jobs ---------------------------------------------------------------------------------------
CONCURRENCY_MAX = 64  # Refused at submission.
MIN_BIDS_MAX = 256  # Refused at submission.
BID_WINDOW_S_MAX = 600.0  # Refused at submission.
TIMEOUT_S_MAX = 7 * 24 * 3600.0  # Refused at submission.
ARGS_MAX = 256  # Refused at submission.
ARG_BYTES_MAX = 16 * KiB  # Refused at submission.
SPEC_BYTES_MAX = 256 * KiB  # Of a spec without the contents of its inline files. Refused at submission; declined.
INPUTS_MAX = 64  # Refused at submission.
OUTPUTS_MAX = 64  # Refused at submission.
STORES_BYTES_MIN = 16 * MiB  # A cache of inputs or blocks that is given less is refused at the start.
INPUT_ENTRIES_MAX = 1_000_000  # Files and folders of an input that are listed or added up; with more it is not usable.
INPUT_DEPTH_MAX = 128  # Folders inside each other. The same.
URL_CHARS_MAX = 2_048  # Refused at submission.
LOOK_S = 60.0  # A copy or a local input whose file system does not answer within this is not usable.
CONFIRM_S = 6 * 3600.0  # A copy that takes longer to check against its CID is not usable.
COPIES_CONFIRMED_MAX = 10_000  # What was checked longest ago is checked again.
INLINE_INPUT_BYTES = 1 * MiB  # All inline files of a spec together. Refused at submission.
INLINE_INPUT_FILES = 256  # Refused at submission.
INLINE_INPUT_DEPTH = 16  # Parts of a name. Refused at submission.
SPEC_BODY_BYTES_MAX = (
    SPEC_BYTES_MAX + INLINE_INPUT_BYTES * 4 // 3 + 64 * KiB
)  # In base64. A longer body is refused (413).
DRAFT_S = 150.0  # Pinning URLs and listing inputs at submission; a job that takes longer is refused.
DRAFTS_PER_CLIENT = 64  # Submissions whose inputs are looked at; further ones are refused (429).
LISTED_MAX = 500_000  # Files and folders of all inputs of a job with sharding. Refused at submission.
ATOMS_MAX = 100_000  # Paths that a sharding pattern matches. Refused at submission.
LOCATION_CHARS_MAX = 4 * KiB  # Where results were published. A longer one is malformed.
SHARDS_MAX = 10_000  # Refused at submission.
SHARD_PATH_CHARS_MAX = 4_096  # Refused at submission.
SHARD_PATHS_BYTES_MAX = 512 * KiB  # Of one shard: they travel in one frame. Refused at submission.
ACCEPTED_PATHS_BYTES = 2 * MiB  # Of the shards of a job under way on one node; the next is engaged when one ends.
SLOTS_MAX = 64  # Executions of one job under way on one node; the next is engaged when one ends.
JOB_EXECUTIONS_MAX = 100_000  # Shards times concurrency: each vote is in the receipt. Refused at submission.
PLAN_BYTES_MAX = 12 * MiB  # Of all paths of all shards. Refused at submission.
SHARDS_ACTIVE_PER_CLIENT = 20_000  # Of all jobs of a client under way. Further submissions are refused (429).
SHARDS_ACTIVE_MAX = 40_000  # The same over all clients of a node.
JOBS_ACTIVE_PER_CLIENT = 1_000  # Further submissions are refused (429) until one ends.
JOBS_ACTIVE_MAX = 4_000  # The same over all clients of a node.
SPECS_ACTIVE_BYTES_PER_CLIENT = 16 * MiB  # Of all specs of jobs under way. The same.
SPECS_ACTIVE_BYTES = 64 * MiB  # The same over all clients of a node.
BIDS_MAX = 512  # Further bids are rejected; no more nodes are offered the job.
OFFERS_PER_PEER = 8  # Of one job, to a node that comes and goes; then it is not offered again.
RUN_GRACE_S = 2.0  # An engine ends a run at its limit, and says in which part of it; only then the node does.
REPLY_S = 20.0  # How long after its run limit an execution may still propose before it counts as late.
HAND_OVER_S = 900.0  # All winners of a shard together have this long to hand over; then the shard fails.
HAND_OVERS_PER_JOB = 8  # Shards of a job that are fetched at once; further ones wait.
HAND_OVERS_MAX = 512  # The same over all jobs.
BLOB_FILES_MAX = 1_024  # Result files in one blob; more are asked for with further ones, and refused in one.
BLOB_FILES_BYTES = 16 * MiB  # The same, in bytes, for who asks; a larger file travels alone.
COMPARE_S = 10.0  # After a vote that nobody won: which files differ is asked for so long, then it is not known.
COMPARE_NODE_S = 3.0  # A node that does not tell within this is passed over.
COMPARED_LIST_BYTES = 4 * MiB  # The same of one whose list of files is longer.
COMPARISONS_MAX = 256  # Such votes at the same time; of further ones it is not known.
COMMITS_S = 10.0  # Part of a job's life: what writing its transitions down may take in all.
REASON_CHARS_MAX = 500  # Longer reasons of peers are cut.

LOG_PIECE_BYTES = 64 * KiB  # Of each stream of an execution's output, in one answer; a longer one is malformed.
LOG_ANSWER_BYTES = 2 * LOG_PIECE_BYTES + 1 * KiB  # The same of the whole answer.
LOG_BYTES_PER_S = 1 * MiB  # Output of a run under way comes to a follower no faster; it is behind then.
LOG_POLL_S = 0.25  # How often a follower asks for more.
LOG_RETRY_S = 2.0  # The same when the node did not answer.
LOG_ASK_S = 5.0  # A node that does not answer within this is asked again.
LOG_ASKS_PER_PEER = 2  # Such requests at once to one node; further followers wait, within that time.
LOG_FOLLOWERS_PER_JOB = 4  # Further ones are refused (429).
LOG_STREAMS_PER_CLIENT = 16  # The same over all jobs of a client.

# --- compute ------------------------------------------------------------------------------------
OFFER_BYTES_PER_REQUESTER = 4 * MiB  # Specs that we bid on; the oldest is forgotten. Also specs that we run: "full".
OFFERS_CONSIDERED_PER_PEER = 64  # Offers whose inputs are looked at; further ones are declined as full.
OFFERS_CONSIDERED_BYTES = 4 * MiB  # Memory of their specs, of one peer. The same.
EXECUTIONS_PER_REQUESTER = 256  # Further accepts of that requester fail with "full".
EXECUTIONS_WAITING_MAX = 1_024  # Waiting for room on this node; with more it declines, and accepts fail, as full.
EXECUTIONS_WAITING_PER_REQUESTER = 128  # The same of one requester; with more its offers are declined as full.
ROOM_S_MIN = 600.0  # An execution that waits for room for longer, and for longer than it may run, fails as full.
TIMES_SEEN_MAX = 16  # Run times of one kind of job that are remembered for estimates; the oldest is forgotten.
KINDS_SEEN_MAX = 1_024  # Kinds of jobs whose run times are remembered; that seen longest ago is forgotten.
PROBES_AT_ONCE = 8  # An operator's probes of offers; further offers wait for their turn, requesters one by one.
PROBE_S = 5.0  # A probe that takes longer is killed, and the offer declined.
PROBE_TURN_S = 20.0  # An offer that waits for longer for its turn to be probed is declined.
PROBE_WORDS_BYTES = 4 * KiB  # Of what a probe writes; the rest is read and thrown away.
GPUS_MAX = 64  # Further ones are not used.
GPU_QUERY_S = 20.0  # An nvidia-smi that does not answer within this is killed, and there are no GPUs.
GPU_QUERY_BYTES = 64 * KiB  # The same of one that says more.
ALLOW_LIST_BYTES_MAX = 16 * MiB  # A longer file of an allow-list stops the start.
RESULTS_KEPT_S = 3_600.0  # A result whose requester is silent for this long after its vote must be over is deleted.
MODULE_FETCHES_MAX = 16  # Modules on their way here, one for each requester; further runs wait.
MODULE_FETCH_S = 300.0  # A module that takes longer fails its run.
INLINE_FETCH_S = 60.0  # The same of an inline file.
PUBLISHED_AT_ONCE = 4  # Results that a node publishes at the same time; requesters take turns. So of taking back.
RETRACT_S = 300.0  # What was published and is not taken back within this is tried again at the next start.
UNTOLD_MAX = 1_000  # Publications that are still to be taken back; the oldest is left where it lies.
INLINE_BYTES_MAX = 64 * KiB  # Results up to this travel in the control frame.
INLINE_FILES_MAX = 1_024  # Results of more files do not, however small they are.

# --- docker -------------------------------------------------------------------------------------
CONTAINER_MEMORY_MIN = 6 * MiB  # The engine's own; a job that wants less is refused.
CONTAINER_PIDS = 256  # Processes and threads of a run; it can start no further one.
CONTAINER_FILES_OPEN = 4_096  # Of a process; it can open no further one.
CONTAINER_MOUNTS = 1_000  # Inputs, and parts of them, that a run sees apart; with more it fails.
CONTAINERS_LOOK_S = 0.25  # What a run has written is looked at so often; long looks are a tenth of the time,
CONTAINERS_LOOK_MAX_S = 5.0  # but no more than this lies between two.
DOCKER_CALLS = 16  # Calls of the engine at once, each in a thread; further ones wait.
DOCKER_CALL_S = 20.0  # A call that takes longer has failed.
DOCKER_PING_S = 5.0  # An engine that does not say within this that it is there is not.
DOCKER_PING_EVERY_S = 10.0  # And is asked so often.
DOCKER_RETRY_S = 2.0  # An engine that is not there, or keeps what is to go, is asked again after this.
DOCKER_SWEEP_S = 60.0  # So often every container of ours that is not under way is removed.
DOCKER_END_S = 10.0  # A container that is not removed within this is left to the sweep.
DOCKER_DRAIN_S = 10.0  # What a run printed is read for this long after its end.
DOCKER_OOM_S = 0.3  # So long after a kill the engine may say that it was for memory.
DOCKER_QUESTIONS = 4  # Names being looked up in registries; further ones wait.
IMAGE_LOOK_S = 15.0  # A name that is not found within this is not there.
IMAGE_KNOWN_S = 60.0  # So long an image that was found counts as found,
IMAGE_MISSING_S = 10.0  # and so long one that was not as missing.
IMAGES_KNOWN = 1_024  # Answers kept; the oldest is asked for again.
IMAGE_PULLS = 3  # At once; further ones wait, and requesters take turns.
IMAGE_PULL_S = 3_600.0  # A pull that takes longer has failed.
IMAGE_SILENT_S = 120.0  # The same of one that brings nothing for this long.
IMAGE_BYTES_MAX = 16 * GiB  # Unpacked; a larger image is not kept.
PROGRESS_LINES = 20  # Of one node for one job, in the job's history; further ones are not kept.
PROGRESS_EVERY_S = 5.0  # A requester hears no more often how a pull goes.

# --- inputs over http -----------------------------------------------------------------------------
FETCH_CONNECT_S = 10.0  # A server that cannot be reached within this cannot be had.
FETCH_ANSWER_S = 30.0  # The same of one that has not begun to answer.
FETCH_STALL_S = 30.0  # The same of one that sends no byte for this long.

# --- results ------------------------------------------------------------------------------------
RESULT_FILES_MAX = 100_000  # An execution with more files fails; a manifest with more is refused.
RESULT_NAME_BYTES_MAX = 1_024  # The same.
RESULT_PART_BYTES_MAX = 255  # One path segment: what Linux filesystems take.
RESULT_DEPTH_MAX = 64  # Parts of a name; so that few names cannot ask for millions of folders. The same.
MANIFEST_BYTES_MAX = 64 * MiB  # A longer manifest is refused.
RECEIPT_BYTES_MAX = 256 * MiB  # A longer receipt is refused unread.
DISK_RESERVE_BYTES = 128 * MiB  # Left to the journal: with less, jobs, uploads, runs and results are refused.

# --- modules --------------------------------------------------------------------------------------
MODULE_BYTES_MAX = 64 * MiB  # A longer upload is refused (413).
MODULES_PER_CLIENT_BYTES = 1 * GiB  # Further uploads of that client are refused (429).
MODULE_CACHE_BYTES = 2 * GiB  # The module used longest ago goes first.

# --- api ------------------------------------------------------------------------------------------
TOKEN_LIFE_S_MAX = 900  # A token that lives longer is refused.
CLOCK_SKEW_S = 60  # How far a client's clock may be off.
HTTP_CHUNK_S = 30.0  # An upload that sends nothing for this long is ended (408).
EVENT_STREAMS_PER_CLIENT = 64  # Further event streams are refused (429).
WAIT_S_MAX = 60.0  # ``Prefer: wait=N`` waits no longer.
WAITS_PER_CLIENT = 64  # Further requests that wait for a job are refused (429).

# --- http -----------------------------------------------------------------------------------------
TOKEN_CHARS_MAX = 1_024  # A longer token is refused unread; ours have about 370.
TOKENS_CACHED = 1_024  # The token verified longest ago is verified again.
CLIENTS_FILE_BYTES_MAX = 1 * MiB  # A longer ``authorized_clients`` file is malformed.
HTTP_CONNECTIONS_MAX = 512  # The oldest idle one is closed for a further one; if none is idle, that one is.
HTTP_HEAD_BYTES_MAX = 16 * KiB  # A longer request line and headers end the connection (431).
HTTP_IDLE_S = 15.0  # A connection without a complete request head for this long is closed.
HTTP_STALL_S = 30.0  # A client that takes nothing of its answer for this long is cut off.
HTTP_SLOW_S = 1.0  # A client that has taken nothing for this long makes room where there is none for another.
HTTP_DRAIN_S = 1.0  # At shutdown answers under way have this long.
HTTP_LINGER_S = 2.0  # What a refused client still sends is read for this long, so that it sees the refusal.
EVENT_KEEPALIVE_S = 15.0  # A silent event stream carries a comment this often.
JOBS_LISTED_MAX = 1_000  # A list is no longer, whatever ``limit`` says.
JOBS_LISTED_BYTES = 16 * MiB  # Nor has it more than the newest jobs whose records have so many bytes.
SHARDS_SHOWN = 100  # Of a job; further ones are asked for by themselves.
FILES_JOINED_MAX = 1_000  # Result files in one answer; the rest comes with the next.
SHARDS_LISTED_MAX = 1_000  # A list is no longer, whatever ``limit`` says.
SHARD_PATHS_SHOWN = 10  # Of what a shard sees; of further paths only their number. All of a plan fit in PLAN_BYTES_MAX.
UPLOADS_PER_CLIENT = 4  # Further uploads at the same time are refused (429).
UPLOADS_MAX = 32  # The same over all clients of a node.
LISTINGS_CACHED_FILES = 100_000  # Lists of result files kept in memory, in files; the oldest list goes first.

# --- ipfs -----------------------------------------------------------------------------------------
BLOCK_BYTES_MAX = 2 * MiB  # A larger block is refused, as everywhere in IPFS.
BLOCK_LINKS_MAX = 65_536  # A block with more links is refused; a folder of 2 MiB without shards has fewer.
DAG_ENTRIES_MAX = 100_000  # Files and folders under a CID; with more it is refused. So are blocks of its folders.
DAG_NAME_BYTES_MAX = 255  # What Linux filesystems take; a longer name is refused.
DAG_PATH_BYTES_MAX = 1 * KiB  # The same for a path.
DAG_FOLDERS_DEEP_MAX = 64  # Folders inside each other; with more it is refused.
DAG_FILE_DEPTH_MAX = 32  # Blocks on the way to a file's bytes. The same.
DAG_PART_BYTES_MIN = 1 * KiB  # A file with smaller parts on average, and more than BLOCK_LINKS_MAX, is refused.
DAG_PENDING_MAX = 262_144  # Links met and not yet followed. The same.
FETCH_AHEAD_BYTES = 32 * MiB  # Blocks of one input asked for before they are needed.
FETCH_AHEAD_BLOCKS = 1_024  # The same.
CAR_HEADER_BYTES_MAX = 64 * KiB  # A CAR file with a longer header is refused.
IPFS_LOOK_UP_S = 45.0  # A name under a CID, or the root of a DAG, that is not found within this cannot be had.
IPFS_LIST_S = 120.0  # The same of a DAG whose files and folders take longer to list.
IPFS_SETUP_S = 60.0  # The same of one that does not come within this and what its bytes take at the lowest rate.
IPFS_BYTES_PER_S_MIN = 64 * KiB
IPFS_BLOCKS_PER_S_MIN = 100.0  # What comes or is listed in small blocks has so much more time.
KUBO_CALLS_MAX = 16  # Calls of Kubo's RPC at once, each in a thread; further ones wait.
KUBO_EXPORTS_MAX = 8  # Streams of it at once, each with a thread and some MiB; further ones wait.
KUBO_FIND_S = 3.0  # A block that Kubo does not find within this is not had for a bid.
KUBO_RESTART_S = 15.0  # A daemon that is away for longer, or twice, fails a fetch.
KUBO_IMPORT_SILENT_S = 600.0  # The same of one that does not say that it has pinned what we uploaded.
GATEWAY_FIND_S = 10.0  # The same that a gateway does not find within this.
BLOCK_FETCH_S = 30.0  # A block that a source does not find within this is not there.
PINS_CHECKED_S = 3_600.0  # How often a node looks for pins whose time is over.
BITSWAP_MESSAGE_BYTES_MAX = 4 * MiB  # A longer message ends the connection; the specification's limit.
BITSWAP_UNASKED_BYTES_MAX = 256 * KiB  # Of a peer that was not asked for a block; a longer one ends the stream.
BITSWAP_LONG_PER_PEER = 4  # Longer ones than that, being heard; the streams of further ones are not read.
BITSWAP_LONG_MAX = 16  # The same of all peers, by turns.
BITSWAP_CID_BYTES_MAX = 168  # A message that names a longer CID is malformed; as in Kubo.
BITSWAP_FIELDS_MAX = 16_384  # A message of more fields is malformed.
BITSWAP_WANTS_READ = 4_096  # Of a message; further wants in it are not read. Peers repeat themselves.
BITSWAP_WANTS_PER_PEER = 1_024  # Unanswered; to further wants of that peer the answer is that we do not have it.
BITSWAP_WANTS_PER_S = 4_000  # Of a peer, read from it; it is read no faster (burst: 4 seconds' worth).
BITSWAP_STALL_S = 30.0  # A reader for whom no block comes for this long is told that the DAG cannot be had.
BITSWAP_MISSING_S = 8.0  # The same, when every neighbour says that it does not have the block, and no gateway may.
BITSWAP_DIALLED_S = 3.0  # The same, when nobody is connected: for the neighbours that a node dials when it starts.
BITSWAP_HAS_S = 3.0  # Who does not answer within this does not have it.
BITSWAP_WINDOW_BYTES = 16 * MiB  # Under way and not yet read, for one reader; no more is asked for.
BITSWAP_WINDOWS_BYTES = 64 * MiB  # The same, for all readers: each has its share.
BITSWAP_READERS_MAX = 32  # Further readers wait.
BITSWAP_HINTS_MAX = 65_536  # What a reader says it will want; the rest is asked for when it is read.
BITSWAP_ANSWERS_MAX = 16  # Messages with blocks being sent, each of at most 2.5 MiB; further ones wait their turn.

# --- inputs ---------------------------------------------------------------------------------------
URL_BYTES_MAX = 64 * GiB  # A longer file is refused at submission.
URL_MEASURE_BYTES = 256 * MiB  # The same of one whose server does not tell its size, or no ETag and no digest.
URL_MEASURE_S = 120.0  # The same of one that takes longer to measure.
URL_REDIRECTS_MAX = 5  # One more, and the file cannot be had.
URL_RESOLVE_S = 10.0  # A host that cannot be resolved within this cannot be had.
URL_ADDRESSES_MAX = 4  # Further addresses of a host are not tried.
URL_SETUP_S = 60.0  # All redirects and addresses together; with more the file cannot be had.
URL_BYTES_PER_S_MIN = 64 * KiB  # A file that comes more slowly on the whole cannot be had.
OBJECTS_MAX = 100_000  # Objects of one input; with more it is not usable.
OBJECT_REQUEST_S = 30.0  # A request to an object store that takes longer has failed.
OBJECT_CALL_S = 60.0  # The same with all its retries.
OBJECT_LIST_S = 180.0  # A listing, of any number of requests, that takes longer has failed.
OBJECT_PIECE_BYTES = 4 * MiB  # What one request reads of an object.
OBJECT_PIECES = 4  # Requests of one input at the same time; further ones wait.
INPUT_ENTRY_BYTES = 4 * KiB  # What a cached file or folder takes of the cache's limit besides its bytes.
