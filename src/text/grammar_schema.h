/* A JSON schema to a grammar: answers are JSON that the schema accepts.
 *
 * What is understood, on every level:
 *
 *     "type": "object"    properties, in the order of the schema; required; additionalProperties true or false: others
 * are never written "array"     items (one schema for all), minItems, maxItems "string"    minLength, maxLength
 * (characters) "integer"   minimum, maximum; at most 16 digits "number"    at most 16 digits before and behind the
 * point, an exponent of at most 2 "boolean", "null" "enum": [...], "const": ...   texts, numbers, true, false, null; a
 * "type" beside them must be theirs title, description, default, examples, deprecated, $schema, $id, $comment   say
 * nothing about the answer
 *
 * Any other keyword, or one that does not belong to the type, is CARINA_ERROR_UNSUPPORTED with its place: nothing of a
 * schema is passed over. The JSON is on one line, with at most one blank behind ':' and ','. Strings are written as
 * they are, with the escapes \" \\ \/ \b \f \n \r \t but no \u.
 */
#ifndef TEXT_GRAMMAR_SCHEMA_H
#define TEXT_GRAMMAR_SCHEMA_H

#include <stdint.h>

#include "base/error.h"

#define GRAMMAR_SCHEMA_MAX_BYTES (1u << 18)
#define GRAMMAR_SCHEMA_MAX_DEPTH 48 /* of the schema's JSON */

/* *out: text for grammar_parse, malloc'ed, the caller frees it. name is used in messages. */
carina_status grammar_schema_text(char **out, const char *name, const void *json, uint64_t size, carina_error *error);

#endif
