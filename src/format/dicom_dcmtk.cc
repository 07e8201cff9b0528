/* DCMTK behind a C interface; the only C++ of the library and the only file that knows DCMTK. See dicom_dcmtk.h.
 *
 * Every entry point catches everything. Values are copied out; nothing of DCMTK's leaves this file.
 */
extern "C" {
#include "base/error.h"
}
#include "format/dicom_dcmtk.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcistrmb.h>
#include <dcmtk/dcmdata/dcostrmb.h>
#include <dcmtk/dcmdata/dcpixseq.h>
#include <dcmtk/dcmdata/dcpxitem.h>
#include <dcmtk/dcmdata/dcrledrg.h>
#include <dcmtk/dcmdata/dcspchrs.h>
#include <dcmtk/dcmdata/dctk.h>
#include <dcmtk/dcmjpeg/djdecode.h>
#include <dcmtk/dcmjpls/djdecode.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>

struct dcmtk_dataset {
    DcmDataset dataset;
    E_TransferSyntax syntax = EXS_Unknown;
};

namespace {

/* DCMTK's codec list and log are global by its design: set up once, for whichever thread comes first. */
void prepare_toolkit() {
    static std::once_flag once;
    std::call_once(once, [] {
        OFLog::configure(OFLogger::OFF_LOG_LEVEL);
        DcmRLEDecoderRegistration::registerCodecs();
        DJDecoderRegistration::registerCodecs();
        DJLSDecoderRegistration::registerCodecs();
    });
}

/* Runs a body that returns carina_status; what it throws becomes an error. */
template <typename Body>
carina_status guarded(carina_error *error, Body body) {
    try {
        prepare_toolkit();
        return body();
    } catch (const std::bad_alloc &) {
        return error_set(error, CARINA_ERROR_MEMORY, "out of memory in the DICOM toolkit");
    } catch (const std::exception &exception) {
        return error_set(error, CARINA_ERROR_FORMAT, "the DICOM toolkit gave up: %s", exception.what());
    } catch (...) {
        return error_set(error, CARINA_ERROR_FORMAT, "the DICOM toolkit gave up");
    }
}

/* ---- attributes ---- */

/* DCMTK's readers are not const although they change nothing that can be seen from outside. */
DcmDataset &data_of(const dcmtk_dataset *dataset) { return const_cast<dcmtk_dataset *>(dataset)->dataset; }

template <size_t N>
void copy_text(char (&out)[N], const OFString &text) {
    size_t length = text.length() < N - 1 ? text.length() : N - 1;
    memcpy(out, text.data(), length);
    out[length] = 0;
}

struct reader {
    DcmItem &item;
    DcmSpecificCharacterSet charset;
    bool converts = false;

    explicit reader(DcmItem &from) : item(from) {
        OFString declared;
        if (item.tagExists(DCM_SpecificCharacterSet)) {
            item.findAndGetOFStringArray(DCM_SpecificCharacterSet, declared);
            converts = !declared.empty() && charset.selectCharacterSet(declared).good();
        }
    }

    template <size_t N>
    void text(char (&out)[N], const DcmTagKey &tag, unsigned long index = 0) {
        OFString value, converted;
        if (item.findAndGetOFString(tag, value, index).bad()) return;
        /* A value that its declared character set cannot explain stays as it is, for dicom.c to make valid. */
        if (converts && charset.convertString(value, converted).good()) value = converted;
        copy_text(out, value);
    }

    int unsigned_short(const DcmTagKey &tag, int missing) {
        Uint16 value = 0;
        return item.findAndGetUint16(tag, value).good() ? value : missing;
    }

    /* DS, FL, FD, or IS. */
    bool decimal(double &out, const DcmTagKey &tag, unsigned long index = 0) {
        Float64 value = 0;
        Sint32 whole = 0;
        if (item.findAndGetFloat64(tag, value, index).bad()) {
            if (item.findAndGetSint32(tag, whole, index).bad()) return false;
            value = whole;
        }
        if (!std::isfinite(value)) return false;
        out = value;
        return true;
    }

    /* US or SS, as PixelRepresentation says; files that chose the other VR mean the same 16 bits. */
    bool us_or_ss(int32_t &out, const DcmTagKey &tag, unsigned long index, bool is_signed) {
        DcmElement *element = nullptr;
        if (item.findAndGetElement(tag, element).bad() || !element) return false;
        Uint16 as_unsigned = 0;
        Sint16 as_signed = 0;
        if (element->getUint16(as_unsigned, index).good()) {
            out = is_signed ? (int32_t)(Sint16)as_unsigned : (int32_t)as_unsigned;
            return true;
        }
        if (element->getSint16(as_signed, index).good()) {
            out = is_signed ? (int32_t)as_signed : (int32_t)(Uint16)as_signed;
            return true;
        }
        return false;
    }
};

/* The table of one sequence item: LUTDescriptor (entries, first value, bits) and LUTData (PS3.3 C.11.1.1). */
carina_status read_lut(DcmItem &item, dicom_lut &out, bool is_signed, const char *name, carina_error *error) {
    reader from(item);
    int32_t count = 0, bits = 0, first = 0;
    if (!from.us_or_ss(count, DCM_LUTDescriptor, 0, false) || !from.us_or_ss(first, DCM_LUTDescriptor, 1, is_signed) ||
        !from.us_or_ss(bits, DCM_LUTDescriptor, 2, false))
        return error_set(error, CARINA_ERROR_FORMAT, "the %s has no valid descriptor", name);
    if (count == 0) count = 65536;
    if (bits < 1 || bits > 16)
        return error_set(error, CARINA_ERROR_FORMAT, "the %s has entries of %d bits", name, bits);
    DcmElement *element = nullptr;
    Uint16 *words = nullptr;
    if (item.findAndGetElement(DCM_LUTData, element).bad() || !element || element->getUint16Array(words).bad() ||
        !words)
        return error_set(error, CARINA_ERROR_FORMAT, "the %s has no data", name);
    unsigned long word_count = element->getLength() / 2;
    bool packed = bits <= 8 && word_count < (unsigned long)count && word_count >= ((unsigned long)count + 1) / 2;
    if (!packed && word_count < (unsigned long)count)
        return error_set(error, CARINA_ERROR_FORMAT, "the %s says %d entries but holds %lu", name, count, word_count);
    out.entry = (uint16_t *)malloc((size_t)count * sizeof *out.entry);
    if (!out.entry) return error_memory(error, name, (size_t)count * sizeof *out.entry);
    unsigned highest = 0;
    for (int32_t i = 0; i < count; i++) {
        out.entry[i] = packed ? (uint16_t)(words[i / 2] >> (i % 2 ? 8 : 0) & 0xff) : words[i];
        if (out.entry[i] > highest) highest = out.entry[i];
    }
    while (bits < 16 && highest >> bits) bits++; /* entries count for more than a descriptor that denies them */
    out.count = count;
    out.first_mapped = first;
    out.bits = bits;
    from.text(out.explanation, DCM_LUTExplanation);
    return CARINA_OK;
}

carina_status read_luts(reader &from, dicom_attributes &out, carina_error *error) {
    DcmItem *item = nullptr;
    if (from.item.findAndGetSequenceItem(DCM_ModalityLUTSequence, item, 0).good() && item)
        TRY(read_lut(*item, out.modality_lut, out.is_signed, "modality LUT", error));
    item = nullptr;
    if (from.item.findAndGetSequenceItem(DCM_VOILUTSequence, item, 0).good() && item) {
        /* Its first value lives in the output of the step before: signed where that can be negative. */
        bool is_signed = out.modality_lut.count == 0 && (out.is_signed || out.rescale_intercept < 0);
        TRY(read_lut(*item, out.voi_lut, is_signed, "VOI LUT", error));
    }
    return CARINA_OK;
}

void read_windows(reader &from, dicom_attributes &out) {
    double centre, width;
    for (unsigned long i = 0; out.window_count < DICOM_MAX_WINDOWS; i++) {
        if (!from.decimal(centre, DCM_WindowCenter, i) || !from.decimal(width, DCM_WindowWidth, i)) break;
        out.window[out.window_count++] = {centre, width};
    }
    char function[DICOM_CODE] = "";
    from.text(function, DCM_VOILUTFunction);
    out.window_function = !function[0] || !strcmp(function, "LINEAR") ? DICOM_WINDOW_LINEAR
                          : !strcmp(function, "LINEAR_EXACT")         ? DICOM_WINDOW_LINEAR_EXACT
                          : !strcmp(function, "SIGMOID")              ? DICOM_WINDOW_SIGMOID
                                                                      : DICOM_WINDOW_UNKNOWN;
    char shape[DICOM_CODE] = "";
    from.text(shape, DCM_PresentationLUTShape);
    out.lut_shape = !shape[0]                    ? DICOM_SHAPE_NONE
                    : !strcmp(shape, "IDENTITY") ? DICOM_SHAPE_IDENTITY
                    : !strcmp(shape, "INVERSE")  ? DICOM_SHAPE_INVERSE
                                                 : DICOM_SHAPE_UNKNOWN;
}

void read_pixel_description(reader &from, dicom_attributes &out) {
    out.rows = from.unsigned_short(DCM_Rows, 0);
    out.columns = from.unsigned_short(DCM_Columns, 0);
    out.samples_per_pixel = from.unsigned_short(DCM_SamplesPerPixel, 1);
    out.bits_allocated = from.unsigned_short(DCM_BitsAllocated, 0);
    out.bits_stored = from.unsigned_short(DCM_BitsStored, out.bits_allocated);
    out.high_bit = from.unsigned_short(DCM_HighBit, out.bits_stored - 1);
    out.is_signed = from.unsigned_short(DCM_PixelRepresentation, 0) == 1;
    Sint32 frames = 1;
    if (from.item.findAndGetSint32(DCM_NumberOfFrames, frames).bad()) frames = 1;
    out.frame_count = frames;
    from.text(out.photometric, DCM_PhotometricInterpretation);

    bool slope = from.decimal(out.rescale_slope, DCM_RescaleSlope);
    bool intercept = from.decimal(out.rescale_intercept, DCM_RescaleIntercept);
    out.has_rescale = slope || intercept;
    if (!slope) out.rescale_slope = 1;
    int32_t limit;
    if (from.us_or_ss(out.padding_low, DCM_PixelPaddingValue, 0, out.is_signed)) {
        out.has_padding = true;
        out.padding_high = out.padding_low;
        if (from.us_or_ss(limit, DCM_PixelPaddingRangeLimit, 0, out.is_signed)) out.padding_high = limit;
        if (out.padding_high < out.padding_low) std::swap(out.padding_low, out.padding_high);
    }
    for (unsigned long i = 0; i < 2; i++) {
        from.decimal(out.pixel_spacing[i], DCM_PixelSpacing, i);
        from.decimal(out.imager_spacing[i], DCM_ImagerPixelSpacing, i);
        from.decimal(out.pixel_aspect[i], DCM_PixelAspectRatio, i);
    }
}

/* AS is "nnnD", "nnnW", "nnnM" or "nnnY" (PS3.5 6.2); some write the number alone. */
int age_in_years(const char *text) {
    char *end = nullptr;
    long number = strtol(text, &end, 10);
    if (end == text || number < 0 || number > 999) return -1;
    switch (*end) {
        case 'D': return (int)(number / 365);
        case 'W': return (int)(number / 52);
        case 'M': return (int)(number / 12);
        default: return (int)number;
    }
}

void read_description(reader &from, dicom_attributes &out) {
    from.text(out.sop_class, DCM_SOPClassUID);
    from.text(out.sop_instance, DCM_SOPInstanceUID);
    from.text(out.modality, DCM_Modality);
    from.text(out.body_part, DCM_BodyPartExamined);
    from.text(out.view_position, DCM_ViewPosition);
    DcmItem *view = nullptr;
    if (from.item.findAndGetSequenceItem(DCM_ViewCodeSequence, view, 0).good() && view) {
        reader code(*view);
        code.text(out.view_meaning, DCM_CodeMeaning);
    }
    from.text(out.orientation[0], DCM_PatientOrientation, 0);
    from.text(out.orientation[1], DCM_PatientOrientation, 1);
    from.text(out.laterality, DCM_ImageLaterality);
    if (!out.laterality[0]) from.text(out.laterality, DCM_Laterality);
    from.text(out.series_description, DCM_SeriesDescription);
    from.text(out.burned_in, DCM_BurnedInAnnotation);
    from.text(out.patient_id, DCM_PatientID);
    from.text(out.patient_name, DCM_PatientName);
    char sex[DICOM_CODE] = "", age[DICOM_CODE] = "";
    from.text(sex, DCM_PatientSex);
    out.sex = (sex[0] == 'M' || sex[0] == 'F' || sex[0] == 'O') && !sex[1] ? sex[0] : 0;
    from.text(age, DCM_PatientAge);
    out.age_years = age_in_years(age);
}

/* ---- pixels ---- */

DcmPixelData *pixel_data_of(DcmDataset &dataset) {
    DcmElement *element = nullptr;
    if (dataset.findAndGetElement(DCM_PixelData, element).bad() || !element) return nullptr;
    return dynamic_cast<DcmPixelData *>(element);
}

DcmPixelSequence *fragments_of(DcmPixelData &pixels) {
    E_TransferSyntax syntax = EXS_Unknown;
    const DcmRepresentationParameter *parameter = nullptr;
    pixels.getOriginalRepresentationKey(syntax, parameter);
    DcmPixelSequence *sequence = nullptr;
    if (pixels.getEncapsulatedRepresentation(syntax, parameter, sequence).bad()) return nullptr;
    return sequence;
}

bool fragment_bytes(DcmPixelSequence &sequence, unsigned long index, Uint8 *&bytes, unsigned long &length) {
    DcmPixelItem *item = nullptr;
    bytes = nullptr;
    length = 0;
    if (sequence.getItem(item, index).bad() || !item) return false;
    length = item->getLength();
    return length == 0 || (item->getUint8Array(bytes).good() && bytes);
}

/* Which fragments [first, last) are frame `frame`: all of a single frame, one each, or as the offset table says
 * (PS3.5 A.4: offsets count from the first fragment's item tag). */
bool find_fragments(DcmPixelSequence &sequence, unsigned long frame, unsigned long frame_count, unsigned long &first,
                    unsigned long &last) {
    unsigned long items = sequence.card();
    if (items < 2) return false;
    first = 1;
    last = items;
    if (frame_count == 1) return true;
    if (items - 1 == frame_count) {
        first = 1 + frame;
        last = first + 1;
        return true;
    }
    Uint8 *table = nullptr, *bytes = nullptr;
    unsigned long table_length = 0, length = 0;
    if (!fragment_bytes(sequence, 0, table, table_length) || table_length / 4 < frame_count) return false;
    auto offset_of = [&](unsigned long i) {
        return (uint64_t)table[4 * i] | (uint64_t)table[4 * i + 1] << 8 | (uint64_t)table[4 * i + 2] << 16 |
               (uint64_t)table[4 * i + 3] << 24;
    };
    uint64_t position = 0;
    bool found = false;
    for (unsigned long i = 1; i < items; i++) {
        if (position == offset_of(frame)) {
            first = i;
            found = true;
        }
        if (found && i > first && frame + 1 < frame_count && position == offset_of(frame + 1)) {
            last = i;
            break;
        }
        if (!fragment_bytes(sequence, i, bytes, length)) return false;
        position += 8 + (uint64_t)length;
    }
    return found;
}

}  // namespace

carina_status dcmtk_open(dcmtk_dataset **out, const uint8_t *bytes, uint64_t size, const char *transfer_syntax,
                         carina_error *error) {
    *out = nullptr;
    return guarded(error, [&]() -> carina_status {
        DcmXfer syntax(transfer_syntax);
        if (syntax.getXfer() == EXS_Unknown)
            return error_set(error, CARINA_ERROR_UNSUPPORTED, "transfer syntax %s is not read", transfer_syntax);
        std::unique_ptr<dcmtk_dataset> made(new dcmtk_dataset);
        DcmInputBufferStream stream;
        stream.setBuffer(bytes, (offile_off_t)size);
        stream.setEos();
        made->dataset.transferInit();
        OFCondition condition = made->dataset.read(stream, syntax.getXfer(), EGL_noChange);
        made->dataset.transferEnd();
        if (condition.bad())
            return error_set(error, CARINA_ERROR_FORMAT, "truncated or damaged DICOM: %s", condition.text());
        /* Elements keep pointers into the stream only until they are loaded. */
        made->dataset.loadAllDataIntoMemory();
        made->syntax = syntax.getXfer();
        *out = made.release();
        return CARINA_OK;
    });
}

void dcmtk_close(dcmtk_dataset *dataset) {
    guarded(nullptr, [&]() -> carina_status {
        delete dataset;
        return CARINA_OK;
    });
}

carina_status dcmtk_attributes(const dcmtk_dataset *dataset, dicom_attributes *out, carina_error *error) {
    memset(out, 0, sizeof *out);
    out->age_years = -1;
    return guarded(error, [&]() -> carina_status {
        reader from(data_of(dataset));
        copy_text(out->transfer_syntax_name, DcmXfer(dataset->syntax).getXferName());
        read_pixel_description(from, *out);
        read_windows(from, *out);
        read_description(from, *out);
        return read_luts(from, *out, error);
    });
}

dcmtk_encoding dcmtk_pixel_encoding(const dcmtk_dataset *dataset) {
    if (!pixel_data_of(data_of(dataset))) return DCMTK_NO_PIXELS;
    switch (dataset->syntax) {
        case EXS_LittleEndianImplicit:
        case EXS_LittleEndianExplicit:
        case EXS_BigEndianExplicit: return DCMTK_NATIVE;
        case EXS_RLELossless: return DCMTK_RLE;
        case EXS_JPEGLSLossless:
        case EXS_JPEGLSLossy: return DCMTK_JPEG_LS;
        case EXS_JPEG2000LosslessOnly:
        case EXS_JPEG2000:
        case EXS_JPEG2000MulticomponentLosslessOnly:
        case EXS_JPEG2000Multicomponent: return DCMTK_JPEG_2000;
        default: break;
    }
    bool jpeg = dataset->syntax >= EXS_JPEGProcess1 && dataset->syntax <= EXS_JPEGProcess14SV1;
    return jpeg ? DCMTK_JPEG : DCMTK_OTHER;
}

carina_status dcmtk_native_pixels(const dcmtk_dataset *dataset, const uint8_t **bytes, uint64_t *size,
                                  carina_error *error) {
    return guarded(error, [&]() -> carina_status {
        DcmPixelData *pixels = pixel_data_of(data_of(dataset));
        Uint8 *found = nullptr;
        if (!pixels || pixels->getUint8Array(found).bad() || !found)
            return error_set(error, CARINA_ERROR_FORMAT, "the pixel data is empty or cannot be read");
        *bytes = found;
        *size = pixels->getLength(dataset->syntax);
        return CARINA_OK;
    });
}

carina_status dcmtk_frame_fragments(const dcmtk_dataset *dataset, int frame, int frame_count, uint8_t **bytes,
                                    uint64_t *size, uint32_t *first_fragment, carina_error *error) {
    *bytes = nullptr;
    *size = 0;
    return guarded(error, [&]() -> carina_status {
        DcmPixelData *pixels = pixel_data_of(data_of(dataset));
        DcmPixelSequence *sequence = pixels ? fragments_of(*pixels) : nullptr;
        unsigned long first, last;
        if (!sequence)
            return error_set(error, CARINA_ERROR_FORMAT, "the pixel data is not in fragments, as its syntax demands");
        if (!find_fragments(*sequence, (unsigned long)frame, (unsigned long)frame_count, first, last))
            return error_set(error, CARINA_ERROR_FORMAT, "%lu fragments cannot be told apart into %d frames",
                             sequence->card() ? sequence->card() - 1 : 0, frame_count);
        uint64_t total = 0;
        Uint8 *part = nullptr;
        unsigned long length = 0;
        for (unsigned long i = first; i < last; i++) {
            if (!fragment_bytes(*sequence, i, part, length))
                return error_set(error, CARINA_ERROR_FORMAT, "fragment %lu of the pixels cannot be read", i);
            total += length;
        }
        if (total == 0) return error_set(error, CARINA_ERROR_FORMAT, "the pixel data is empty");
        *bytes = (uint8_t *)malloc(total);
        if (!*bytes) return error_memory(error, "compressed pixels", total);
        for (unsigned long i = first; i < last; i++) {
            if (!fragment_bytes(*sequence, i, part, length) || !length) continue;
            memcpy(*bytes + *size, part, length);
            *size += length;
        }
        *first_fragment = (uint32_t)first;
        return CARINA_OK;
    });
}

carina_status dcmtk_decode_frame(const dcmtk_dataset *dataset, int frame, uint32_t first_fragment, uint8_t *buffer,
                                 uint32_t size, carina_error *error) {
    return guarded(error, [&]() -> carina_status {
        DcmDataset &data = data_of(dataset);
        DcmPixelData *pixels = pixel_data_of(data);
        Uint32 fragment = first_fragment;
        OFString colour_model;
        OFCondition condition =
            pixels ? pixels->getUncompressedFrame(&data, (Uint32)frame, fragment, buffer, size, colour_model)
                   : EC_CorruptedData;
        if (condition.bad())
            return error_set(error, CARINA_ERROR_FORMAT, "damaged or truncated pixel data (%s): %s",
                             DcmXfer(dataset->syntax).getXferName(), condition.text());
        return CARINA_OK;
    });
}

carina_status dcmtk_directory_files(const dcmtk_dataset *dataset, char ***out, int *count, carina_error *error) {
    *out = nullptr;
    *count = 0;
    return guarded(error, [&]() -> carina_status {
        DcmSequenceOfItems *records = nullptr;
        if (data_of(dataset).findAndGetSequence(DCM_DirectoryRecordSequence, records).bad() || !records)
            return error_set(error, CARINA_ERROR_FORMAT, "the DICOMDIR has no directory records");
        unsigned long total = records->card();
        *out = (char **)calloc(total + 1, sizeof **out);
        if (!*out) return error_memory(error, "DICOMDIR", total);
        DcmObject *object = nullptr;
        while ((object = records->nextInContainer(object)) != nullptr) {
            DcmItem *record = dynamic_cast<DcmItem *>(object);
            OFString type, id;
            if (!record || record->findAndGetOFString(DCM_DirectoryRecordType, type).bad() || type != "IMAGE" ||
                record->findAndGetOFStringArray(DCM_ReferencedFileID, id).bad() || id.empty())
                continue;
            for (size_t i = 0; i < id.length(); i++)
                if (id[i] == '\\') id[i] = '/';
            (*out)[*count] = strdup(id.c_str());
            if (!(*out)[*count]) return error_memory(error, "DICOMDIR", id.length());
            ++*count;
        }
        return CARINA_OK;
    });
}

/* ---- writing ---- */

namespace {

void put(DcmItem &item, const DcmTagKey &tag, const char *text) {
    if (item.putAndInsertString(tag, text ? text : "").bad()) throw std::runtime_error("an attribute was refused");
}

void put(DcmItem &item, const DcmTagKey &tag, int value) {
    if (item.putAndInsertUint16(tag, (Uint16)value).bad()) throw std::runtime_error("an attribute was refused");
}

std::string decimal_text(double value) { /* DS: at most 16 characters (PS3.5 6.2) */
    char text[40];
    for (int digits = 10; digits > 2; digits--) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strlen(text) <= 16) break;
    }
    return text;
}

void put_patient_and_study(DcmItem &item, const dicom_film_attributes &a) {
    char sex[2] = {a.sex, 0}, age[8] = "";
    if (a.age_years >= 0) snprintf(age, sizeof age, "%03dY", a.age_years < 999 ? a.age_years : 999);
    put(item, DCM_SpecificCharacterSet, "ISO_IR 192");
    put(item, DCM_PatientName, a.patient_name);
    put(item, DCM_PatientID, a.patient_id);
    put(item, DCM_PatientBirthDate, "");
    put(item, DCM_PatientSex, sex);
    put(item, DCM_PatientAge, age);
    put(item, DCM_StudyInstanceUID, a.study_instance);
    put(item, DCM_StudyDate, a.study_date);
    put(item, DCM_StudyTime, "");
    put(item, DCM_ReferringPhysicianName, "");
    put(item, DCM_StudyID, "");
    put(item, DCM_AccessionNumber, "");
}

void put_series_and_image(DcmItem &item, const dicom_film_attributes &a) {
    put(item, DCM_Modality, "CR");
    put(item, DCM_SeriesInstanceUID, a.series_instance);
    put(item, DCM_SeriesNumber, "1");
    put(item, DCM_SeriesDescription, a.series_description);
    put(item, DCM_Manufacturer, "Carina");
    put(item, DCM_BodyPartExamined, "CHEST");
    put(item, DCM_ViewPosition, a.view_position);
    put(item, DCM_SOPClassUID, UID_ComputedRadiographyImageStorage);
    put(item, DCM_SOPInstanceUID, a.sop_instance);
    put(item, DCM_InstanceNumber, "1");
    put(item, DCM_ImageType, a.jpeg_quality ? "DERIVED\\PRIMARY" : "ORIGINAL\\PRIMARY");
    put(item, DCM_PatientOrientation, "L\\F");
    if (a.pixel_spacing[0] > 0 && a.pixel_spacing[1] > 0) {
        std::string spacing = decimal_text(a.pixel_spacing[0]) + "\\" + decimal_text(a.pixel_spacing[1]);
        put(item, DCM_PixelSpacing, spacing.c_str());
    }
    if (a.rescale_slope != 0) {
        put(item, DCM_RescaleIntercept, decimal_text(a.rescale_intercept).c_str());
        put(item, DCM_RescaleSlope, decimal_text(a.rescale_slope).c_str());
        put(item, DCM_RescaleType, "US");
    }
    if (a.window_width > 0) {
        put(item, DCM_WindowCenter, decimal_text(a.window_centre).c_str());
        put(item, DCM_WindowWidth, decimal_text(a.window_width).c_str());
    }
}

void put_pixels(DcmItem &item, const uint16_t *sample, int width, int height, const uint8_t *jpeg, uint64_t jpeg_size,
                const dicom_film_attributes &a) {
    bool bytes = a.bits_stored <= 8;
    size_t count = (size_t)width * (size_t)height;
    put(item, DCM_SamplesPerPixel, 1);
    put(item, DCM_PhotometricInterpretation, a.inverted ? "MONOCHROME1" : "MONOCHROME2");
    put(item, DCM_Rows, height);
    put(item, DCM_Columns, width);
    put(item, DCM_BitsAllocated, bytes ? 8 : 16);
    put(item, DCM_BitsStored, a.bits_stored);
    put(item, DCM_HighBit, a.bits_stored - 1);
    put(item, DCM_PixelRepresentation, 0);
    OFCondition condition = EC_Normal;
    if (jpeg) {
        put(item, DCM_LossyImageCompression, "01");
        put(item, DCM_LossyImageCompressionRatio, decimal_text((double)count / (double)jpeg_size).c_str());
        put(item, DCM_LossyImageCompressionMethod, "ISO_10918_1");
        std::unique_ptr<DcmPixelSequence> sequence(new DcmPixelSequence(DcmTag(DCM_PixelData, EVR_OB)));
        std::unique_ptr<DcmPixelItem> offsets(new DcmPixelItem(DcmTag(DCM_Item, EVR_OB)));
        sequence->insert(offsets.release());
        DcmOffsetList list;
        condition = sequence->storeCompressedFrame(list, const_cast<Uint8 *>(jpeg), (Uint32)jpeg_size, 0);
        std::unique_ptr<DcmPixelData> pixels(new DcmPixelData(DCM_PixelData));
        pixels->putOriginalRepresentation(EXS_JPEGProcess1, nullptr, sequence.release());
        if (condition.good()) condition = item.insert(pixels.release(), OFTrue);
    } else if (bytes) {
        std::unique_ptr<Uint8[]> narrow(new Uint8[count]);
        for (size_t i = 0; i < count; i++) narrow[i] = (Uint8)sample[i];
        condition = item.putAndInsertUint8Array(DCM_PixelData, narrow.get(), (unsigned long)count);
    } else {
        condition = item.putAndInsertUint16Array(DCM_PixelData, sample, (unsigned long)count);
    }
    if (condition.bad()) throw std::runtime_error(condition.text());
}

std::string file_bytes(DcmFileFormat &file, E_TransferSyntax syntax) {
    std::string bytes;
    std::unique_ptr<char[]> buffer(new char[1 << 16]);
    DcmOutputBufferStream stream(buffer.get(), 1 << 16);
    file.transferInit();
    OFCondition condition;
    do {
        condition = file.write(stream, syntax, EET_ExplicitLength, nullptr, EGL_recalcGL, EPD_withoutPadding);
        void *filled = nullptr;
        offile_off_t length = 0;
        stream.flushBuffer(filled, length);
        bytes.append((const char *)filled, (size_t)length);
    } while (condition == EC_StreamNotifyClient);
    file.transferEnd();
    if (condition.bad()) throw std::runtime_error(condition.text());
    return bytes;
}

}  // namespace

carina_status dcmtk_encode_film(uint8_t **out, uint64_t *size, const uint16_t *sample, int width, int height,
                                const uint8_t *jpeg, uint64_t jpeg_size, const dicom_film_attributes *attributes,
                                carina_error *error) {
    *out = nullptr;
    *size = 0;
    return guarded(error, [&]() -> carina_status {
        DcmFileFormat file;
        DcmDataset &item = *file.getDataset();
        put_patient_and_study(item, *attributes);
        put_series_and_image(item, *attributes);
        put_pixels(item, sample, width, height, jpeg, jpeg_size, *attributes);
        std::string bytes = file_bytes(file, jpeg ? EXS_JPEGProcess1 : EXS_LittleEndianExplicit);
        *out = (uint8_t *)malloc(bytes.size());
        if (!*out) return error_memory(error, "DICOM file", bytes.size());
        memcpy(*out, bytes.data(), bytes.size());
        *size = bytes.size();
        return CARINA_OK;
    });
}
