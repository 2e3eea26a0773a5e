#ifndef PROTO_LIMITS_H
#define PROTO_LIMITS_H
/* Every limit of the protocol, in one place.  PROTOCOL.md prints the same numbers. */

#define LIMIT_FRAME (16u << 20)		/* a sender's frame: HEADER BODY */
#define LIMIT_FRAME_SLACK (64u << 10)		/* what a delivery header may add on top */
#define LIMIT_FRAME_RX (LIMIT_FRAME + LIMIT_FRAME_SLACK)
#define LIMIT_MAXMSG (32u << 20)	/* ZMQ_MAXMSGSIZE: the last resort */
#define LIMIT_HEADER (8u << 10)
#define LIMIT_HEADER_ELEMENTS 256u
#define LIMIT_META_KEYS 32u
#define LIMIT_NEST 32u
#define LIMIT_TOPIC 255u
#define LIMIT_TOPIC_TOKENS 16u
#define LIMIT_TOKEN 64u		/* bytes of text that may become one token */
#define LIMIT_KEY 255u		/* order key */
#define LIMIT_DIG 32u
#define LIMIT_SRC 128u
#define LIMIT_CUR 4096u
#define LIMIT_AS 4096u		/* `as`: half a header, for a delivery has a header of its own */
#define LIMIT_GROUP 64u
#define LIMIT_REASON 512u
#define LIMIT_DESC (256u << 10) /* description in the body of a SUB */
#define LIMIT_PART (256u << 10)
#define LIMIT_PACK (1024u << 10)
#define LIMIT_BATCH 1024u	/* envelopes in one BATCH */
#define LIMIT_TTL_MS 3600000
#define LIMIT_BODY_ELEMENTS (4u << 20) /* msgpack objects in one body that is decoded */

#define DEFAULT_TTL_MS 5000
#define DEFAULT_ACK_MS 30000
#define DEFAULT_TRIES 8
#define DEFAULT_CREDIT 64
#define DEFAULT_CREDIT_BYTES (8u << 20)
#define PING_EVERY_MS 1000
#define PEER_LOST_MS 5000	/* silence after which a peer, or the broker, counts as lost */

_Static_assert(LIMIT_FRAME_RX < LIMIT_MAXMSG, "libzmq must not cut what we accept");

#endif
