/** What a page asks for. */
export interface SeatmeterOptions {
  /** URL of the license server, or of the main server and its standby. */
  server?: string | string[];
  /** The same as `server`. */
  licenseServer?: string | string[];
  /** URL of the standby, asked where the main server does not answer. */
  standbyServer?: string;
  /** The handshake code; without it, the default code of the organization. */
  handshakeCode?: string;
  organizationID?: string;
  sessionPassword?: string;
  /**
   * The vendor's public key, 64 hexadecimal digits. Without it, that of the first answer is kept.
   */
  rootKey?: string;
  /** Charge way, as a name or as a number of DM_ChargeWay; 0 or absent: the server chooses. */
  chargeWay?: ChargeWay | "auto" | 0 | 1 | 2 | 3 | 6 | 8 | 20;
  /** An id that the handshake code may ask for. */
  applicationID?: string;
  /** A name of this device for people. */
  deviceFriendlyName?: string;
  modules?: string[];
  /** Bits of the products; 65535 when absent. */
  products?: number;
  productVersion?: string;
  productEdition?: string;
  /** Days for which the page wants to work without contact; 7 or more, 7 when absent. */
  maxBufferDays?: number;
  /** Milliseconds after which `init` gives up, where no license is stored; 10000 when absent. */
  timeout?: number;
  /** See {@link License.duplicateForgetTime}. */
  duplicateForgetTime?: number;
}

export type ChargeWay =
  "client_device" | "barcode_scan" | "concurrent_device" | "domain" | "active_device" | "page";

/**
 * A barcode of any decoder. `format` is a name (`qr_code`, `QRCode`, `QR-CODE`) or a number of the
 * C API. The content is a text or bytes; if both are given, the bytes count.
 */
export type Barcode = (
  { format?: string | number } | { barcodeFormat: number } | { barcodeFormatString: string }
) &
  (
    | { rawValue: string }
    | { text: string }
    | { bytes: ArrayLike<number> }
    | { barcodeText: string }
    | { barcodeBytes: ArrayLike<number> }
  );

/** The use of one quota of the item. */
export interface Meter {
  of: "scans" | "pages" | "devices" | "excess" | string;
  module?: number;
  quota: number;
  used: number;
  grace: number;
  state: "within" | "in_grace" | "used_up" | "overused" | string;
}

export interface LicenseStatus {
  /** 0, -20012 (offline, with the stored license), -20010 (trial), or the number of a refusal. */
  code: number;
  message: string;
  deviceUuid: string;
  handshakeCode: string;
  chargeWay: ChargeWay;
  itemId: string;
  validUntil: Date;
  expiresAt: Date;
  isOffline: boolean;
  isInGrace: boolean;
  meters: Meter[];
}

export interface LicenseEventMap {
  /** The server or the time has ended the license: nothing more is counted. */
  refused: CustomEvent<{ code: number; message: string }>;
  /** The item has expired, or a quota is used: the grace has begun. */
  grace: CustomEvent<{ isExpired: boolean; endsAt: Date; meters: Meter[] }>;
  /** The server cannot be reached: the stored license is in use. */
  offline: CustomEvent<{ message: string }>;
  /** The server has granted the license again. */
  renewed: CustomEvent<{ validUntil: Date }>;
}

/** The license of one page or worker, and its reader. */
export class License extends EventTarget {
  private constructor();
  /** Milliseconds after which a barcode counts again in frames: 0 to 600000; 3000 at first. */
  duplicateForgetTime: number;
  readonly status: LicenseStatus;
  /**
   * Count a frame of a video. Resolves, once they are stored, to the number of barcodes that count.
   */
  countFrame(barcodes: Iterable<Barcode>): Promise<number>;
  /** Count a still picture by itself: each of its different barcodes counts. */
  countImage(barcodes: Iterable<Barcode>): Promise<number>;
  /** Count `n` pages (1 when absent) of a module. Resolves to `n` once they are stored. */
  countPages(
    module: 1 | 2 | 3 | 4 | "CORE" | "WEBCAM" | "PDFR" | "OCR",
    n?: number,
  ): Promise<number>;
  /** Report and renew now. */
  sync(): Promise<void>;
  /** Report, and end this page's part. Pages that are simply closed lose nothing either. */
  close(): Promise<void>;
  addEventListener<K extends keyof LicenseEventMap>(
    type: K,
    listener: (event: LicenseEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

/** A refusal or failure. `code` is the number of the C API. */
export class SeatmeterError extends Error {
  readonly code: number;
  /** The numbers behind a refusal: used, quota, grace, holders, next_free_at. */
  readonly numbers?: Record<string, unknown>;
}

export declare const Seatmeter: {
  /** Return the license of this page. It waits for the network only where none is stored. */
  init(options: SeatmeterOptions): Promise<License>;
};
export default Seatmeter;
