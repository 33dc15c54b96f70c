// The normalisation of docs/embedding.md for a Java host, such as a Micro-Manager plugin.
//
//   java Normalize.java LOW HIGH VALUE...      prints the scaled values of a frame, one a line
//
// It takes all pixels as they are (normalization.method "percentile"); edgescope_intensities of the C library also leaves
// out padding and debris.
//
// What follows it is the model: ONNX Runtime for Java runs model.onnx of a jetson bundle, LiteRT model.tflite.

public final class Normalize {
    private Normalize() {}

    /** Scale a frame's pixels (uint16 as Java's signed short) to [0, 1] between two percentiles of the whole frame. */
    public static float[] normalize(short[] frame, double low, double high) {
        long[] counts = new long[65536];
        for (short value : frame) counts[value & 0xFFFF]++;
        double from = percentile(counts, frame.length, low), to = percentile(counts, frame.length, high);
        float[] result = new float[frame.length]; // zeros, which is what a constant frame gives
        if (to <= from) return result;
        for (int i = 0; i < frame.length; i++) {
            double scaled = ((frame[i] & 0xFFFF) - from) / (to - from);
            result[i] = (float) Math.min(1.0, Math.max(0.0, scaled));
        }
        return result;
    }

    /** The value at a percentile, between the two nearest ranks, in numpy's order of operations. */
    static double percentile(long[] counts, long size, double percent) {
        double position = (size - 1) * (percent / 100);
        long below = Math.min((long) Math.floor(position), size - 1);
        double part = position - below;
        double a = valueAt(counts, below), b = valueAt(counts, Math.min(below + 1, size - 1));
        return part >= 0.5 ? b - (b - a) * (1 - part) : a + (b - a) * part;
    }

    private static double valueAt(long[] counts, long rank) {
        long upto = 0;
        for (int value = 0; value < counts.length; value++) if ((upto += counts[value]) > rank) return value;
        return counts.length - 1;
    }

    public static void main(String[] given) {
        short[] frame = new short[given.length - 2];
        for (int i = 0; i < frame.length; i++) frame[i] = (short) Integer.parseInt(given[i + 2]);
        for (float value : normalize(frame, Double.parseDouble(given[0]), Double.parseDouble(given[1])))
            System.out.println(value);
    }
}
