// The objects of a frame in Java, by the same library as Python: for a host such as a Micro-Manager or Fiji plugin.
//
//   java -cp jna.jar Objects.java LIBRARY FRAME.u16 MAPS.f32 HEIGHT WIDTH LOW HIGH
//        THRESHOLD CORE_THRESHOLD CORE_PROMINENCE CORE_SMOOTHING MIN_AREA
//
// Prints the frame's intensity range, and a line for each object: label, row, column, area, mean intensity. LIBRARY is
// edgescope.so, .dll or .dylib of the wheel edgescope-runtime. MAPS.f32 holds the model's maps: foreground, then core.
// The functions are those of edgescope.h, called through JNA, which Fiji and Micro-Manager bring along.

import com.sun.jna.Library;
import com.sun.jna.Native;
import com.sun.jna.Structure;
import com.sun.jna.Structure.FieldOrder;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;

public final class Objects {
    private Objects() {}

    static final int VERSION = 3, UINT16 = 2;

    @FieldOrder({"threshold", "coreThreshold", "coreProminence", "coreSmoothing", "minArea"})
    public static class Rule extends Structure {
        public double threshold, coreThreshold, coreProminence, coreSmoothing;
        public long minArea;
    }

    @FieldOrder({"label", "touchesBorder", "top", "left", "bottom", "right", "area", "convexArea", "row", "col",
        "perimeter", "majorAxis", "minorAxis", "orientation", "eccentricity", "solidity", "meanProbability", "meanIntensity",
        "minIntensity", "maxIntensity", "sdIntensity"})
    public static class Measured extends Structure {
        public int label, touchesBorder, top, left, bottom, right;
        public long area, convexArea;
        public double row, col, perimeter, majorAxis, minorAxis, orientation, eccentricity, solidity;
        public double meanProbability, meanIntensity, minIntensity, maxIntensity, sdIntensity;
    }

    public interface Edgescope extends Library {
        int edgescope_version();
        String edgescope_message(int code);
        int edgescope_intensities(short[] frame, int type, int height, int width, long stride, double low, double high,
                                  int isRobust, double[] range);
        int edgescope_label(float[] probability, float[] core, int height, int width, Rule rule, int threads,
                            int[] labels);
        int edgescope_measure(int[] labels, int height, int width, short[] frame, int type, float[] probability,
                              int threads, Measured[] objects, int count);
    }

    public static void main(String[] given) throws IOException {
        Edgescope library = Native.load(Path.of(given[0]).toAbsolutePath().toString(), Edgescope.class);
        if (library.edgescope_version() != VERSION) throw new IllegalStateException("the library has another version");
        int height = Integer.parseInt(given[3]), width = Integer.parseInt(given[4]), size = height * width;
        short[] frame = new short[size];
        read(given[1]).asShortBuffer().get(frame);
        float[] probability = new float[size], core = new float[size];
        read(given[2]).asFloatBuffer().get(probability).get(core);

        double[] range = new double[4];
        check(library, library.edgescope_intensities(frame, UINT16, height, width, 2L * width, number(given[5]),
                                                     number(given[6]), 1, range));
        System.out.println(range[0] + "," + range[1]);

        Rule rule = new Rule();
        rule.threshold = number(given[7]);
        rule.coreThreshold = number(given[8]);
        rule.coreProminence = number(given[9]);
        rule.coreSmoothing = number(given[10]);
        rule.minArea = Long.parseLong(given[11]);
        int[] labels = new int[size];
        int count = check(library, library.edgescope_label(probability, core, height, width, rule, 1, labels));
        if (count == 0) return;
        Measured[] objects = (Measured[]) new Measured().toArray(count);
        check(library, library.edgescope_measure(labels, height, width, frame, UINT16, probability, 1, objects,
                                                 count));
        for (Measured one : objects) {
            System.out.println(one.label + "," + one.row + "," + one.col + "," + one.area + "," + one.meanIntensity);
        }
    }

    private static int check(Edgescope library, int code) {
        if (code < 0) throw new IllegalArgumentException(library.edgescope_message(code));
        return code;
    }

    private static double number(String text) {
        return Double.parseDouble(text);
    }

    private static ByteBuffer read(String path) throws IOException {
        return ByteBuffer.wrap(Files.readAllBytes(Path.of(path))).order(ByteOrder.LITTLE_ENDIAN);
    }
}
