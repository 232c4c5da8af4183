// The messages of opentelemetry/proto/profiles/v1development as of version 1.10 and 1.11, with
// those of common/v1 and resource/v1 that they hold. Names that older versions had for the same
// fields come second: what a field is called first is what is written.
#include "convert/otlp_json.h"

#define MESSAGE(name, ...)                                                                         \
    static const struct hone_otlp_message name = {                                                 \
        (const struct hone_otlp_field[]){__VA_ARGS__, {0}}}

static const struct hone_otlp_message any_value; // values hold values
static const struct hone_otlp_message key_value;

MESSAGE(array_value, {"values", 1, HONE_OTLP_MESSAGE, true, &any_value});
MESSAGE(key_value_list, {"values", 1, HONE_OTLP_MESSAGE, true, &key_value});
MESSAGE(any_value, {"stringValue", 1, HONE_OTLP_TEXT}, {"boolValue", 2, HONE_OTLP_BOOL},
        {"intValue", 3, HONE_OTLP_INT64}, {"doubleValue", 4, HONE_OTLP_DOUBLE},
        {"arrayValue", 5, HONE_OTLP_MESSAGE, false, &array_value},
        {"kvlistValue", 6, HONE_OTLP_MESSAGE, false, &key_value_list},
        {"bytesValue", 7, HONE_OTLP_BASE64}, {"stringValueStrindex", 8, HONE_OTLP_INT32});
MESSAGE(key_value, {"key", 1, HONE_OTLP_TEXT}, {"value", 2, HONE_OTLP_MESSAGE, false, &any_value},
        {"keyStrindex", 3, HONE_OTLP_INT32});

MESSAGE(mapping, {"memoryStart", 1, HONE_OTLP_UINT64}, {"memoryLimit", 2, HONE_OTLP_UINT64},
        {"fileOffset", 3, HONE_OTLP_UINT64}, {"filenameStrindex", 4, HONE_OTLP_INT32},
        {"attributeIndices", 5, HONE_OTLP_INT32, true});
MESSAGE(line, {"functionIndex", 1, HONE_OTLP_INT32}, {"line", 2, HONE_OTLP_INT64},
        {"column", 3, HONE_OTLP_INT64});
MESSAGE(location, {"mappingIndex", 1, HONE_OTLP_INT32}, {"address", 2, HONE_OTLP_UINT64},
        {"lines", 3, HONE_OTLP_MESSAGE, true, &line}, {"line", 3, HONE_OTLP_MESSAGE, true, &line},
        {"attributeIndices", 4, HONE_OTLP_INT32, true});
MESSAGE(function, {"nameStrindex", 1, HONE_OTLP_INT32}, {"systemNameStrindex", 2, HONE_OTLP_INT32},
        {"filenameStrindex", 3, HONE_OTLP_INT32}, {"startLine", 4, HONE_OTLP_INT64});
MESSAGE(link, {"traceId", 1, HONE_OTLP_HEX}, {"spanId", 2, HONE_OTLP_HEX});
MESSAGE(attribute, {"keyStrindex", 1, HONE_OTLP_INT32},
        {"value", 2, HONE_OTLP_MESSAGE, false, &any_value}, {"unitStrindex", 3, HONE_OTLP_INT32});
MESSAGE(stack, {"locationIndices", 1, HONE_OTLP_INT32, true});
MESSAGE(dictionary, {"mappingTable", 1, HONE_OTLP_MESSAGE, true, &mapping},
        {"locationTable", 2, HONE_OTLP_MESSAGE, true, &location},
        {"functionTable", 3, HONE_OTLP_MESSAGE, true, &function},
        {"linkTable", 4, HONE_OTLP_MESSAGE, true, &link}, {"stringTable", 5, HONE_OTLP_TEXT, true},
        {"attributeTable", 6, HONE_OTLP_MESSAGE, true, &attribute},
        {"stackTable", 7, HONE_OTLP_MESSAGE, true, &stack});

MESSAGE(value_type, {"typeStrindex", 1, HONE_OTLP_INT32}, {"unitStrindex", 2, HONE_OTLP_INT32});
MESSAGE(sample, {"stackIndex", 1, HONE_OTLP_INT32}, {"attributeIndices", 2, HONE_OTLP_INT32, true},
        {"linkIndex", 3, HONE_OTLP_INT32}, {"values", 4, HONE_OTLP_INT64, true},
        {"timestampsUnixNano", 5, HONE_OTLP_FIXED64, true});
MESSAGE(profile, {"sampleType", 1, HONE_OTLP_MESSAGE, false, &value_type},
        {"samples", 2, HONE_OTLP_MESSAGE, true, &sample},
        {"sample", 2, HONE_OTLP_MESSAGE, true, &sample}, {"timeUnixNano", 3, HONE_OTLP_FIXED64},
        {"durationNano", 4, HONE_OTLP_UINT64},
        {"periodType", 5, HONE_OTLP_MESSAGE, false, &value_type}, {"period", 6, HONE_OTLP_INT64},
        {"droppedAttributesCount", 8, HONE_OTLP_INT32}, {"originalPayload", 10, HONE_OTLP_BASE64},
        {"attributeIndices", 11, HONE_OTLP_INT32, true});

MESSAGE(scope, {"name", 1, HONE_OTLP_TEXT}, {"version", 2, HONE_OTLP_TEXT},
        {"attributes", 3, HONE_OTLP_MESSAGE, true, &key_value},
        {"droppedAttributesCount", 4, HONE_OTLP_INT32});
MESSAGE(scope_profiles, {"scope", 1, HONE_OTLP_MESSAGE, false, &scope},
        {"profiles", 2, HONE_OTLP_MESSAGE, true, &profile});
MESSAGE(resource, {"attributes", 1, HONE_OTLP_MESSAGE, true, &key_value},
        {"droppedAttributesCount", 2, HONE_OTLP_INT32});
MESSAGE(resource_profiles, {"resource", 1, HONE_OTLP_MESSAGE, false, &resource},
        {"scopeProfiles", 2, HONE_OTLP_MESSAGE, true, &scope_profiles});

const struct hone_otlp_message hone_otlp_profiles_data = {(const struct hone_otlp_field[]){
    {"resourceProfiles", 1, HONE_OTLP_MESSAGE, true, &resource_profiles},
    {"dictionary", 2, HONE_OTLP_MESSAGE, false, &dictionary},
    {0},
}};
